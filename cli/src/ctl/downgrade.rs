//! `downgrade`: going back one minor version.

use super::args::Downgrade;
use super::client::Client;
use super::output::{Format, Output, print};
use super::{Failed, json};
use keel_proto::pb::etcdserverpb as pb;
use pb::downgrade_request::DowngradeAction;
use prost::Message;

pub(super) async fn run(client: &Client, output: Output, command: Downgrade) -> Result<(), Failed> {
    let (action, name, version) = match &command {
        Downgrade::Validate { words } => (DowngradeAction::Validate, "validate", target(words)?),
        Downgrade::Enable { words } => (DowngradeAction::Enable, "enable", target(words)?),
        Downgrade::Cancel => (DowngradeAction::Cancel, "cancel", String::new()),
    };
    let request = pb::DowngradeRequest { action: action.into(), version };
    let answer = client.short(client.maintenance().downgrade(request)).await?;
    let shown = match output.format {
        Format::Simple => {
            format!("Downgrade {name} success, cluster version {}\n", answer.version).into_bytes()
        }
        Format::Json => (json::downgrade(&answer) + "\n").into_bytes(),
        Format::Protobuf => answer.encode_to_vec(),
        Format::Fields => return Err(Failed::feature("fields not supported as output format")),
        Format::Table => return Err(Failed::feature("table not supported as output format")),
    };
    Ok(print(&shown)?)
}

fn target(words: &[String]) -> Result<String, Failed> {
    match words {
        [] => Err(Failed::arguments("TARGET_VERSION not provided")),
        [version] => Ok(version.clone()),
        _ => Err(Failed::arguments("too many arguments")),
    }
}
