//! `downgrade`: going back one minor version.

use super::client::Client;
use super::output::{Format, NO_FIELDS, NO_TABLE, Output, print};
use super::{Failed, json};
use clap::Subcommand;
use keel_proto::pb::etcdserverpb as pb;
use pb::downgrade_request::DowngradeAction;
use prost::Message;

/// `downgrade`.
#[derive(Debug, Subcommand)]
pub(crate) enum Downgrade {
    /// Validates the downgrade to a version.
    Validate {
        /// The version.
        words: Vec<String>,
    },
    /// Starts a downgrade.
    Enable {
        /// The version.
        words: Vec<String>,
    },
    /// Cancels the downgrade under way.
    Cancel {
        #[arg(hide = true)]
        words: Vec<String>,
    },
}

pub(super) async fn run(client: &Client, output: Output, command: Downgrade) -> Result<(), Failed> {
    let (action, name, version) = match &command {
        Downgrade::Validate { words } => (DowngradeAction::Validate, "validate", target(words)?),
        Downgrade::Enable { words } => (DowngradeAction::Enable, "enable", target(words)?),
        Downgrade::Cancel { .. } => (DowngradeAction::Cancel, "cancel", String::new()),
    };
    let request = pb::DowngradeRequest { action: action.into(), version };
    let answer = client.short(client.maintenance().downgrade(request)).await?;
    let shown = match output.format {
        Format::Simple => {
            format!("Downgrade {name} success, cluster version {}\n", answer.version).into_bytes()
        }
        Format::Json => (json::downgrade(&answer) + "\n").into_bytes(),
        Format::Protobuf => answer.encode_to_vec(),
        Format::Fields => return Err(Failed::feature(NO_FIELDS)),
        Format::Table => return Err(Failed::feature(NO_TABLE)),
    };
    Ok(print(&shown)?)
}

fn target(words: &[String]) -> Result<String, Failed> {
    match words {
        [] => Err(Failed::arguments("TARGET_VERSION not provided")),
        [version] if version.is_empty() => Err(Failed::arguments("target version not provided")),
        [version] => Ok(version.clone()),
        _ => Err(Failed::arguments("too many arguments")),
    }
}
