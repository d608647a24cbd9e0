//! Completion scripts: each shell has one, and those that are here can read their own.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use tempfile::NamedTempFile;

const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// Whether all scripts of a tool name these commands, and can be read.
pub(crate) fn scripts_are_read(tool: &Path, commands: &[&str]) {
    for shell in SHELLS {
        let output = Command::new(tool).args(["completion", shell]).output();
        let output = output.expect("our own tool can be run");
        assert!(output.status.success(), "completion {shell}");
        let script = String::from_utf8_lossy(&output.stdout);
        for command in commands {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
        let mut file = NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(script.as_bytes()).expect("it can be written");
        // It reads the script and does nothing.
        match Command::new(shell).arg("-n").arg(file.path()).output() {
            Ok(read) => assert!(read.status.success(), "{shell} cannot read its script"),
            Err(error) => assert!(shell != "bash", "bash is everywhere: {error}"),
        }
    }
}
