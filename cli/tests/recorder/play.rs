//! Plays a transcript against a fresh server: compares the answers, or writes them down.

use super::client::{Client, Stream};
use super::encode::encode;
use super::masks::Masks;
use super::render::render;
use super::schema::Schema;
use super::script::Script;
use super::snapshot::describe;
use crate::common::server::{Server, ours};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;
use tonic::Status;

/// How long an answer may take. No answer is due later; it is only there for a server that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message that is so long in coming that there is no point in going on.
const NOTHING: &str = "nothing came";

/// A transcript's failures that are shown.
const SHOWN_MAX: usize = 12;

/// Which server plays, and whether its answers become the truth.
///
/// `RECORD=<binary>` rewrites the files from that server, `AGAINST=<binary>` compares it with the
/// files; without either, our own server is compared.
fn server() -> (PathBuf, bool) {
    match (std::env::var_os("RECORD"), std::env::var_os("AGAINST")) {
        (Some(binary), _) => (binary.into(), true),
        (None, Some(binary)) => (binary.into(), false),
        (None, None) => (ours(), false),
    }
}

/// Plays the transcript of this name and fails on every answer that differs.
pub(crate) fn play(path: &Path) {
    let Some(ours_with) = crate::flags() else { return };
    let (binary, record) = server();
    let mut script = Script::read(path);
    assert!(!script.blocks.is_empty(), "{} holds no exchange", path.display());
    let mut flags = script.flags();
    if binary == ours() {
        flags.extend(ours_with);
    }
    let server = Server::start_with(&binary, &flags);
    // A member serves before its cluster has a version, and a snapshot shows that.
    server.wait_for_version();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let differences = runtime.block_on(async {
        let mut player = Player::new(server.endpoint()).await;
        player.play(&mut script, path, record).await
    });
    if record && differences.is_empty() {
        script.write();
    }
    let shown = differences.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>();
    let count = differences.len();
    assert!(count == 0, "{count} exchanges differ\n\n{}", shown.join("\n"));
}

struct Player {
    schema: Schema,
    masks: Masks,
    client: Client,
    /// Open streams by name, each with the type of its requests and of its answers.
    streams: BTreeMap<String, (Stream, String, String)>,
}

impl Player {
    async fn new(endpoint: &str) -> Player {
        Player {
            schema: Schema::of_etcd(),
            masks: Masks::default(),
            client: Client::connect(endpoint).await,
            streams: BTreeMap::new(),
        }
    }

    /// Plays all blocks. Answers how the differing ones differ.
    async fn play(&mut self, script: &mut Script, path: &Path, record: bool) -> Vec<String> {
        let mut differences = Vec::new();
        for block in &mut script.blocks {
            let mut answers = Vec::new();
            for action in block.actions() {
                let at = format!("{}:{}: {action}", path.display(), block.line);
                let lines = self.act(&action).await;
                answers.extend(lines.unwrap_or_else(|why| panic!("{at}\n{why}")));
            }
            let silent = answers.iter().any(|line| line.ends_with(NOTHING));
            if record {
                block.answers = Some(answers);
            } else if block.answers.as_ref() != Some(&answers) {
                let due = block.answers.clone().unwrap_or_default();
                let (actions, due) = (block.actions().join("\n"), due.join("\n  "));
                let came = answers.join("\n  ");
                let at = format!("{}:{}", path.display(), block.line);
                differences.push(format!("{at}\n{actions}\n due:\n  {due}\n came:\n  {came}\n"));
            }
            if silent {
                differences.push(String::from("given up: an answer is missing"));
                break;
            }
        }
        differences
    }

    /// Does one action. Answers what came of it; an error is one of the transcript.
    async fn act(&mut self, action: &str) -> Result<Vec<String>, String> {
        let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
        let (name, rest_of_name) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "begin" => self.begin(name, rest_of_name),
            "drop" => {
                let dropped = self.streams.remove(name);
                dropped.map(|_| Vec::new()).ok_or(format!("no call '{name}'"))
            }
            "open" => self.open(name, rest_of_name),
            "send" => self.send(name, rest_of_name),
            "recv" => self.recv(name, count(rest_of_name)?).await,
            "events" => self.events(name, count(rest_of_name)?).await,
            "end" => self.end(name).await,
            "snapshot" => self.snapshot().await,
            method => self.call(method, rest).await,
        }
    }

    /// Calls a method and collects all of its answers.
    async fn call(&mut self, method: &str, fields: &str) -> Result<Vec<String>, String> {
        let found = self.schema.methods.get(method).cloned();
        let found = found.ok_or(format!("no method '{method}'"))?;
        let request = encode(&self.schema, &self.masks, &found.request, fields)?;
        if found.streams {
            self.open(method, method)?;
            self.send(method, fields)?;
            return self.end(method).await;
        }
        match timeout(PATIENCE, self.client.unary(&found.path, request)).await {
            Ok(Ok(answer)) => {
                let lines = render(&self.schema, &mut self.masks, &found.response, &answer)?;
                Ok(if lines.is_empty() { vec![String::from("empty")] } else { lines })
            }
            Ok(Err(status)) => Ok(vec![error(&status)]),
            Err(_) => Ok(vec![String::from(NOTHING)]),
        }
    }

    fn begin(&mut self, name: &str, call: &str) -> Result<Vec<String>, String> {
        let (method, fields) = call.split_once(' ').unwrap_or((call, ""));
        self.open(name, method)?;
        self.send(name, fields)?;
        let (stream, _, _) = self.streams.get_mut(name).ok_or("it was just begun")?;
        stream.up = None;
        Ok(Vec::new())
    }

    fn open(&mut self, name: &str, method: &str) -> Result<Vec<String>, String> {
        let found = self.schema.methods.get(method).cloned();
        let found = found.ok_or(format!("no method '{method}'"))?;
        let stream = self.client.open(&found.path);
        self.streams.insert(String::from(name), (stream, found.request, found.response));
        Ok(Vec::new())
    }

    fn send(&mut self, name: &str, fields: &str) -> Result<Vec<String>, String> {
        let (stream, request, _) = self.streams.get(name).ok_or(format!("no stream '{name}'"))?;
        let message = encode(&self.schema, &self.masks, request, fields)?;
        let up = stream.up.as_ref().ok_or("the stream has ended")?;
        // A stream that the server ended takes nothing more; what it says next tells why.
        let _ = up.send(Bytes::from(message));
        Ok(Vec::new())
    }

    async fn recv(&mut self, name: &str, count: usize) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            match self.message(name).await? {
                Said::Message(fields) => lines.extend(indented(name, fields)),
                Said::Last(line) => {
                    lines.push(format!("{name}: {line}"));
                    break;
                }
            }
        }
        Ok(lines)
    }

    /// Collects watch events over messages. How they are spread over messages and watches is the
    /// server's choice, the order inside a watch is not.
    async fn events(&mut self, name: &str, count: usize) -> Result<Vec<String>, String> {
        let mut events: Vec<(String, String)> = Vec::new();
        let mut others = Vec::new();
        while events.len() < count {
            let fields = match self.message(name).await? {
                Said::Message(fields) => fields,
                Said::Last(line) => {
                    others.push(format!("{name}: {line}"));
                    break;
                }
            };
            let id = fields.iter().find_map(|field| field.strip_prefix("watch_id: "));
            let id = String::from(id.unwrap_or("0"));
            let before = events.len();
            let of_events = fields.iter().filter(|field| field.starts_with("events "));
            events.extend(of_events.map(|event| (id.clone(), event.clone())));
            if events.len() == before {
                others.extend(indented(name, fields));
            }
        }
        events.sort_by(|(one, _), (other, _)| one.cmp(other));
        let lines = events.into_iter().map(|(id, event)| format!("{name}: {id} {event}"));
        Ok(lines.chain(others).collect())
    }

    /// Says no more, and takes what still comes.
    async fn end(&mut self, name: &str) -> Result<Vec<String>, String> {
        let stream = self.streams.get_mut(name).ok_or(format!("no stream '{name}'"))?;
        stream.0.up = None;
        let lines = self.recv(name, usize::MAX).await?;
        self.streams.remove(name);
        Ok(lines)
    }

    async fn snapshot(&mut self) -> Result<Vec<String>, String> {
        let mut stream = self.client.open("/etcdserverpb.Maintenance/Snapshot");
        if let Some(up) = stream.up.take() {
            // A request without fields. A stream that is already refused says why below.
            let _ = up.send(Bytes::new());
        }
        let mut messages = Vec::new();
        loop {
            match timeout(PATIENCE, stream.down.recv()).await {
                Ok(Some(Ok(message))) => messages.push(message),
                Ok(Some(Err(status))) => return Ok(vec![error(&status)]),
                Ok(None) => return describe(&self.schema, &mut self.masks, &messages),
                Err(_) => return Ok(vec![String::from(NOTHING)]),
            }
        }
    }

    async fn message(&mut self, name: &str) -> Result<Said, String> {
        let stream = self.streams.get_mut(name).ok_or(format!("no stream '{name}'"))?;
        let (stream, _, response) = stream;
        Ok(match timeout(PATIENCE, stream.down.recv()).await {
            Ok(Some(Ok(message))) => {
                Said::Message(render(&self.schema, &mut self.masks, response, &message)?)
            }
            Ok(Some(Err(status))) => Said::Last(error(&status)),
            Ok(None) => Said::Last(String::from("end")),
            Err(_) => Said::Last(String::from(NOTHING)),
        })
    }
}

/// What a stream said.
enum Said {
    /// A message, by fields.
    Message(Vec<String>),
    /// Why there is none.
    Last(String),
}

fn indented(name: &str, fields: Vec<String>) -> Vec<String> {
    let fields = fields.into_iter().map(|field| format!("  {field}"));
    std::iter::once(format!("{name}:")).chain(fields).collect()
}

fn error(status: &Status) -> String {
    format!("error {:?}: {}", status.code(), status.message())
}

fn count(word: &str) -> Result<usize, String> {
    if word.is_empty() {
        return Ok(1);
    }
    word.parse().map_err(|_| format!("'{word}' is no count"))
}
