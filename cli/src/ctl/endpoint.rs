//! `endpoint`: each endpoint asked by itself.

use super::Failed;
use super::client::Client;
use super::json::{self, Object, array, quoted, slice};
use super::output::{Format, Output, human, print, table};
use clap::Subcommand;
use keel_proto::pb::etcdserverpb as pb;
use std::time::{Duration, Instant};

/// `endpoint`.
#[derive(Debug, Subcommand)]
pub(crate) enum Endpoint {
    /// Checks the healthiness of endpoints.
    Health {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Prints out the status of endpoints.
    Status {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Prints the KV history hash of each endpoint.
    Hashkv {
        /// Up to this revision; zero is all.
        #[arg(long, default_value_t = 0)]
        rev: i64,
        #[arg(hide = true)]
        words: Vec<String>,
    },
}

pub(super) async fn run(client: &Client, output: Output, command: Endpoint) -> Result<(), Failed> {
    match command {
        Endpoint::Health { .. } => health(client, output).await,
        Endpoint::Status { .. } => status(client, output).await,
        Endpoint::Hashkv { rev, .. } => hashkv(client, output, rev).await,
    }
}

struct Health {
    endpoint: String,
    took: Duration,
    error: Option<String>,
}

async fn health(client: &Client, output: Output) -> Result<(), Failed> {
    let mut asked = Vec::new();
    for endpoint in &client.endpoints {
        asked.push(tokio::spawn(health_of(client.only(endpoint)?, endpoint.clone())));
    }
    let mut all = Vec::new();
    for one in asked {
        all.push(one.await.map_err(|error| Failed::plain(error.to_string()))?);
    }
    show_health(output, &all)?;
    if all.iter().any(|one| one.error.is_some()) {
        return Err(Failed::plain("unhealthy cluster"));
    }
    Ok(())
}

/// Asks whether a member can answer a linearizable read, and whether an alarm is raised.
async fn health_of(only: Client, endpoint: String) -> Health {
    let begun = Instant::now();
    let request = pb::RangeRequest { key: "health".into(), ..Default::default() };
    let read = only.short(only.kv().range(request)).await;
    let took = begun.elapsed();
    let error = match read {
        Err(failed) => Some(failed.line),
        Ok(_) => match only.short(only.maintenance().alarm(pb::AlarmRequest::default())).await {
            Ok(answer) if answer.alarms.is_empty() => None,
            Ok(answer) => {
                let name = |one: &pb::AlarmMember| format!("{} ", one.alarm().as_str_name());
                let names: String = answer.alarms.iter().map(name).collect();
                Some(format!("Active Alarm(s): {names}"))
            }
            Err(_) => Some(String::from("Unable to fetch the alarm list")),
        },
    };
    Health { endpoint, took, error }
}

fn show_health(output: Output, all: &[Health]) -> Result<(), Failed> {
    let took = |one: &Health| format!("{:?}", one.took);
    match output.format {
        Format::Table => {
            let rows: Vec<Vec<String>> = all
                .iter()
                .map(|one| {
                    let error = one.error.clone().unwrap_or_default();
                    vec![one.endpoint.clone(), one.error.is_none().to_string(), took(one), error]
                })
                .collect();
            print(table(&["ENDPOINT", "HEALTH", "TOOK", "ERROR"], &rows).as_bytes())?;
        }
        _ => output.forms(
            None,
            || {
                let line = |one: &Health| match &one.error {
                    None => format!(
                        "{} is healthy: successfully committed proposal: took = {}\n",
                        one.endpoint,
                        took(one)
                    ),
                    Some(error) => {
                        let endpoint = &one.endpoint;
                        eprintln!("{endpoint} is unhealthy: failed to commit proposal: {error}");
                        String::new()
                    }
                };
                all.iter().map(line).collect()
            },
            || {
                let one = |one: &Health| {
                    Object::new()
                        .raw("endpoint", quoted(&one.endpoint))
                        .raw("health", one.error.is_none().to_string())
                        .raw("took", quoted(&took(one)))
                        .text("error", one.error.as_deref().unwrap_or_default())
                        .done()
                };
                array(all.iter().map(one).collect())
            },
            |lines| {
                for one in all {
                    lines.line("Endpoint", quoted(&one.endpoint));
                    lines.line("Health", one.error.is_none());
                    lines.line("Took", took(one));
                    lines.line("Error", one.error.as_deref().unwrap_or_default());
                    lines.text.push('\n');
                }
            },
        )?,
    }
    Ok(())
}

async fn status(client: &Client, output: Output) -> Result<(), Failed> {
    let mut all = Vec::new();
    let mut failed = false;
    for endpoint in &client.endpoints {
        let only = client.only(endpoint)?;
        let request = pb::StatusRequest::default();
        match only.short(only.maintenance().status(request)).await {
            Ok(status) => all.push((endpoint.clone(), status)),
            Err(error) => {
                eprintln!("Failed to get the status of endpoint {endpoint} ({})", error.line);
                failed = true;
            }
        }
    }
    show_status(output, &all)?;
    if failed { Err(Failed::silent()) } else { Ok(()) }
}

const STATUS_HEADS: [&str; 16] = [
    "ENDPOINT",
    "ID",
    "VERSION",
    "STORAGE VERSION",
    "DB SIZE",
    "IN USE",
    "PERCENTAGE NOT IN USE",
    "QUOTA",
    "IS LEADER",
    "IS LEARNER",
    "RAFT TERM",
    "RAFT INDEX",
    "RAFT APPLIED INDEX",
    "ERRORS",
    "DOWNGRADE TARGET VERSION",
    "DOWNGRADE ENABLED",
];

fn status_row(endpoint: &str, status: &pb::StatusResponse) -> Vec<String> {
    let header = status.header.unwrap_or_default();
    let used = status.db_size_in_use.saturating_mul(100).checked_div(status.db_size);
    let share = 100 - used.unwrap_or(100);
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    vec![
        endpoint.to_owned(),
        format!("{:x}", header.member_id),
        status.version.clone(),
        status.storage_version.clone(),
        human(status.db_size),
        human(status.db_size_in_use),
        format!("{share}%"),
        human(status.db_size_quota),
        (status.leader == header.member_id).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
        downgrade.target_version,
        downgrade.enabled.to_string(),
    ]
}

fn show_status(output: Output, all: &[(String, pb::StatusResponse)]) -> Result<(), Failed> {
    let rows = || all.iter().map(|(endpoint, status)| status_row(endpoint, status));
    if output.format == Format::Table {
        print(table(&STATUS_HEADS, &rows().collect::<Vec<_>>()).as_bytes())?;
        return Ok(());
    }
    output.forms(
        None,
        || rows().map(|row| row.join(", ") + "\n").collect(),
        || {
            let one = |(endpoint, status): &(String, pb::StatusResponse)| {
                Object::new()
                    .raw("Endpoint", quoted(endpoint))
                    .raw("Status", json::status(status))
                    .done()
            };
            slice(all.iter().map(one).collect())
        },
        |lines| {
            for (endpoint, status) in all {
                let downgrade = status.downgrade_info.clone().unwrap_or_default();
                let errors: Vec<String> = status.errors.iter().map(|e| quoted(e)).collect();
                lines.header(status.header.as_ref());
                lines.line("Version", quoted(&status.version));
                lines.line("StorageVersion", quoted(&status.storage_version));
                lines.line("DBSize", status.db_size);
                lines.line("DBSizeInUse", status.db_size_in_use);
                lines.line("DBSizeQuota", status.db_size_quota);
                lines.line("Leader", status.leader);
                lines.line("IsLearner", status.is_learner);
                lines.line("RaftIndex", status.raft_index);
                lines.line("RaftAppliedIndex", status.raft_applied_index);
                lines.line("Errors", format!("[{}]", errors.join(" ")));
                lines.line("Endpoint", quoted(endpoint));
                lines.line("DowngradeTargetVersion", quoted(&downgrade.target_version));
                lines.line("DowngradeEnabled", downgrade.enabled);
                lines.text.push('\n');
            }
        },
    )?;
    Ok(())
}

async fn hashkv(client: &Client, output: Output, revision: i64) -> Result<(), Failed> {
    let mut all = Vec::new();
    let mut done = Ok(());
    for endpoint in &client.endpoints {
        let only = client.only(endpoint)?;
        let request = pb::HashKvRequest { revision };
        match only.short(only.maintenance().hash_kv(request)).await {
            Ok(hash) => all.push((endpoint.clone(), hash)),
            Err(failed) => {
                eprintln!("Failed to get the hash of endpoint {endpoint} ({})", failed.line);
                done = Err(failed);
            }
        }
    }
    show_hashes(output, &all)?;
    done
}

fn show_hashes(output: Output, all: &[(String, pb::HashKvResponse)]) -> Result<(), Failed> {
    let row = |(endpoint, hash): &(String, pb::HashKvResponse)| {
        vec![endpoint.clone(), hash.hash.to_string(), hash.hash_revision.to_string()]
    };
    if output.format == Format::Table {
        let rows: Vec<_> = all.iter().map(row).collect();
        print(table(&["ENDPOINT", "HASH", "HASH REVISION"], &rows).as_bytes())?;
        return Ok(());
    }
    output.forms(
        None,
        || all.iter().map(|one| row(one).join(", ") + "\n").collect(),
        || {
            let one = |(endpoint, hash): &(String, pb::HashKvResponse)| {
                let value = Object::new()
                    .header("header", hash.header.as_ref())
                    .uint("hash", hash.hash.into())
                    .int("compact_revision", hash.compact_revision)
                    .int("hash_revision", hash.hash_revision)
                    .done();
                Object::new().raw("Endpoint", quoted(endpoint)).raw("HashKV", value).done()
            };
            slice(all.iter().map(one).collect())
        },
        |lines| {
            for (endpoint, hash) in all {
                lines.header(hash.header.as_ref());
                lines.line("Endpoint", quoted(endpoint));
                lines.line("Hash", hash.hash);
                lines.line("HashRevision", hash.hash_revision);
                lines.text.push('\n');
            }
        },
    )?;
    Ok(())
}
