//! `alarm`, `snapshot` and `defrag`.

use super::Failed;
use super::client::Client;
use super::json;
use super::output::{Output, human};
use crate::progress;
use clap::Subcommand;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

/// `alarm`.
#[derive(Debug, Subcommand)]
pub(crate) enum Alarm {
    /// Lists all alarms.
    List {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Disarms all alarms.
    Disarm {
        #[arg(hide = true)]
        words: Vec<String>,
    },
}

/// `snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Stores a backend snapshot to a given file.
    Save {
        /// The file.
        words: Vec<String>,
    },
}

pub(super) async fn alarm(client: &Client, output: Output, command: Alarm) -> Result<(), Failed> {
    let (name, words) = match &command {
        Alarm::List { words } => ("list", words),
        Alarm::Disarm { words } => ("disarm", words),
    };
    if !words.is_empty() {
        return Err(Failed::arguments(format!("alarm {name} command accepts no arguments")));
    }
    let all = client.short(client.maintenance().alarm(pb::AlarmRequest::default())).await?;
    let shown = match command {
        Alarm::List { .. } => all,
        Alarm::Disarm { .. } => {
            // As in etcd's client, only the alarms of the answers are kept.
            let mut gone = pb::AlarmResponse::default();
            for alarm in all.alarms {
                let request = pb::AlarmRequest {
                    action: pb::alarm_request::AlarmAction::Deactivate.into(),
                    member_id: alarm.member_id,
                    alarm: alarm.alarm,
                };
                let answer = client.short(client.maintenance().alarm(request)).await?;
                gone.alarms.extend(answer.alarms);
            }
            gone
        }
    };
    output.forms(
        Some(shown.encode_to_vec()),
        || {
            let line = |one: &pb::AlarmMember| {
                format!("memberID:{} alarm:{}\n", one.member_id, one.alarm().as_str_name())
            };
            shown.alarms.iter().map(line).collect()
        },
        || json::alarms(&shown),
        |lines| {
            lines.header(shown.header.as_ref());
            for alarm in &shown.alarms {
                lines.id("MemberID", alarm.member_id);
                lines.line("AlarmType", alarm.alarm().as_str_name());
                lines.text.push('\n');
            }
        },
    )?;
    Ok(())
}

pub(super) async fn defrag(client: &Client) -> Result<(), Failed> {
    let mut done = Ok(());
    for endpoint in &client.endpoints {
        let only = client.only(endpoint)?;
        let begun = Instant::now();
        let answer = only.short(only.maintenance().defragment(pb::DefragmentRequest {})).await;
        let took = begun.elapsed();
        match answer {
            Ok(_) => println!("Finished defragmenting etcd member[{endpoint}]. took {took:?}"),
            Err(failed) => {
                let why = failed.line;
                eprintln!("Failed to defragment etcd member[{endpoint}]. took {took:?}. ({why})");
                done = Err(Failed::silent());
            }
        }
    }
    done
}

pub(super) async fn snapshot(client: &Client, command: Snapshot) -> Result<(), Failed> {
    let Snapshot::Save { words } = command;
    let [path] = words.as_slice() else {
        return Err(Failed::arguments("snapshot save expects one argument <filename>"));
    };
    let version = saved(client, path).await.map_err(|failed| failed.coded(5))?;
    println!("Snapshot saved at {path}");
    if !version.is_empty() {
        println!("Server version {version}");
    }
    Ok(())
}

/// Puts a snapshot at a path, whole or not at all.
async fn saved(client: &Client, path: &str) -> Result<String, Failed> {
    let [endpoint] = client.endpoints.as_slice() else {
        let all = client.endpoints.join(" ");
        return Err(Failed::plain(format!(
            "snapshot must be requested to one selected node, not multiple [{all}]"
        )));
    };
    let part = format!("{path}.part");
    let begun = Instant::now();
    let (size, version) = match client.in_said_time(save(client, &part)).await {
        Ok(saved) => saved,
        Err(failed) => {
            // Half a snapshot is of no use to anybody.
            let _ = std::fs::remove_file(&part);
            return Err(failed);
        }
    };
    std::fs::rename(&part, path)
        .map_err(|error| Failed::plain(format!("could not rename {part} to {path} ({error})")))?;
    let (size, took) = (human(size), format!("{:?}", begun.elapsed()));
    eprintln!(
        "{}",
        serde_json::json!({
            "level": "info", "msg": "saved", "endpoint": endpoint, "path": path, "size": size,
            "took": took,
        })
    );
    Ok(version)
}

fn disk(path: &str, error: &std::io::Error) -> Failed {
    Failed::plain(format!("could not write {path}: {error}"))
}

/// A fresh file that only its owner may read.
fn private(path: &str) -> Result<File, Failed> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => String::from("no such file or directory"),
            std::io::ErrorKind::PermissionDenied => String::from("permission denied"),
            _ => error.to_string(),
        };
        Failed::plain(format!("could not open {path} (open {path}: {why})"))
    })
}

/// Streams the database into a file and checks the hash that follows it.
async fn save(client: &Client, path: &str) -> Result<(i64, String), Failed> {
    let mut file = private(path)?;
    let request = pb::SnapshotRequest {};
    let mut pieces = client.maintenance().snapshot(request).await?.into_inner();
    let bar = progress::bytes(0);
    let mut hash = Sha256::new();
    let mut size: u64 = 0;
    let mut version = String::new();
    let mut trailer = None;
    while let Some(piece) = pieces.message().await? {
        if trailer.is_some() {
            return Err(Failed::plain("the server sent more behind the snapshot's hash"));
        }
        if piece.remaining_bytes == 0 && size > 0 && piece.blob.len() == 32 {
            trailer = Some(piece.blob.clone());
        } else {
            hash.update(&piece.blob);
        }
        size += piece.blob.len() as u64;
        file.write_all(&piece.blob).map_err(|error| disk(path, &error))?;
        bar.set_length(size + piece.remaining_bytes);
        bar.set_position(size);
        version = piece.version;
    }
    bar.finish_and_clear();
    let Some(trailer) = trailer else {
        return Err(Failed::plain("the snapshot ended before its hash"));
    };
    if hash.finalize().as_slice() != trailer.as_ref() {
        return Err(Failed::plain("the snapshot does not have the hash that the server sent"));
    }
    file.sync_all().map_err(|error| disk(path, &error))?;
    Ok((i64::try_from(size).unwrap_or(i64::MAX), version))
}
