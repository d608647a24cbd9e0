//! A client process: what is typed into it, what it prints.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a line may take that is due, whatever else is printed before it. It is only there for
/// a client that fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A process under way. Killed when dropped.
pub(super) struct Job {
    words: Vec<String>,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    said: Vec<u8>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// What a process left behind.
pub(super) struct Said {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// `None` where a signal ended it.
    pub(super) code: Option<i32>,
}

impl Job {
    pub(super) fn start(
        tool: &Path,
        words: &[String],
        environment: &[(String, String)],
        dir: &Path,
    ) -> Job {
        let mut child = Command::new(tool)
            .args(words)
            .envs(environment.iter().cloned())
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{} cannot be started: {why}", tool.display()));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("it was asked for");
        let mut stderr = child.stderr.take().expect("it was asked for");
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if tell.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).expect("a pipe can be read");
            said
        });
        let words = words.to_vec();
        Job { words, child, stdin, lines, said: Vec::new(), stderr: Some(stderr) }
    }

    /// Whether a word of the command line ends so.
    pub(super) fn has_words(&self, end: &str) -> bool {
        self.words.iter().any(|word| word.ends_with(end))
    }

    pub(super) fn say(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            // A command that reads nothing may be gone already.
            let _ = stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n"));
            let _ = stdin.flush();
        }
    }

    /// Says no more.
    pub(super) fn close(&mut self) {
        self.stdin = None;
    }

    pub(super) fn interrupt(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg("-INT").arg(pid).status();
        assert!(sent.is_ok_and(|status| status.success()), "a signal can be sent");
    }

    /// Waits until it has printed a line that `is_it`.
    pub(super) fn wait_for(&mut self, is_it: impl Fn(&str) -> bool, what: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.child.kill();
                let stderr = self.stderr.take().and_then(|reader| reader.join().ok());
                panic!(
                    "{:?} did not print '{what}' but:\n{}\nand:\n{}",
                    self.words,
                    String::from_utf8_lossy(&self.said),
                    String::from_utf8_lossy(&stderr.unwrap_or_default())
                );
            };
            self.said.extend_from_slice(&line);
            if is_it(String::from_utf8_lossy(&line).trim_end_matches('\n')) {
                return;
            }
        }
    }

    /// Waits until it has printed a line, or ends without one; says which.
    pub(super) fn says_something(&mut self) -> bool {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => self.said.extend_from_slice(&line),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("{:?} prints nothing", self.words),
        }
        true
    }

    /// Waits for its end.
    pub(super) fn ended(mut self) -> Said {
        let mut stdout = std::mem::take(&mut self.said);
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => stdout.extend_from_slice(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{:?} does not end", self.words),
            }
        }
        let status = self.child.wait().expect("our own child can be waited for");
        let stderr = self.stderr.take().expect("it is taken once");
        let stderr = stderr.join().expect("the reader does not panic");
        Said { stdout, stderr, code: status.code() }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // A child that has ended by itself cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
