//! `member` and `move-leader`.

use super::Failed;
use super::client::Client;
use super::json;
use super::keys::is_serializable;
use super::output::{Format, NO_FIELDS, NO_TABLE, Output, print, table};
use clap::Subcommand;
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::urls;
use prost::Message;

/// `member`.
#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Adds a member into the cluster.
    Add {
        /// The new member's name.
        words: Vec<String>,
        /// Where its peers will reach it, separated by commas.
        #[arg(long, default_value = "")]
        peer_urls: String,
        /// It only learns.
        #[arg(long)]
        learner: bool,
    },
    /// Removes a member from the cluster.
    Remove {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Updates a member in the cluster.
    Update {
        /// The id in hexadecimal.
        words: Vec<String>,
        /// Where its peers will reach it, separated by commas.
        #[arg(long, default_value = "")]
        peer_urls: String,
    },
    /// Promotes a non-voting member in the cluster.
    Promote {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Lists all members in the cluster.
    List {
        /// Linearizable (l) or serializable (s).
        #[arg(long, default_value = "l")]
        consistency: String,
        #[arg(hide = true)]
        words: Vec<String>,
    },
}

pub(super) async fn run(client: &Client, output: Output, command: Member) -> Result<(), Failed> {
    match command {
        Member::List { consistency, .. } => list(client, output, &consistency).await,
        Member::Add { words, peer_urls, learner } => {
            add(client, output, &words, &peer_urls, learner).await
        }
        Member::Remove { words } => remove(client, output, &words).await,
        Member::Update { words, peer_urls } => update(client, output, &words, &peer_urls).await,
        Member::Promote { words } => promote(client, output, &words).await,
    }
}

async fn add(
    client: &Client,
    output: Output,
    words: &[String],
    peer_urls: &str,
    learner: bool,
) -> Result<(), Failed> {
    let name = match words {
        [] => return Err(Failed::arguments("member name not provided")),
        [name] => name,
        _ => return Err(Failed::arguments("too many arguments")),
    };
    let peer_ur_ls = written_urls(peer_urls)?;
    let request = pb::MemberAddRequest { peer_ur_ls, is_learner: learner };
    let added = client.short(client.cluster().member_add(request)).await?;
    let member = added.member.clone().unwrap_or_default();
    changed(output, &added, (added.header, &added.members, added.member.as_ref()), || {
        let kind = if learner { "added as learner to" } else { "added to" };
        let urls = |one: &pb::Member| {
            let name = if one.id == member.id { name } else { &one.name };
            one.peer_ur_ls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>()
        };
        let cluster: Vec<String> = added.members.iter().flat_map(urls).collect();
        format!(
            "{}\n\nETCD_NAME={name:?}\nETCD_INITIAL_CLUSTER={:?}\n\
                 ETCD_INITIAL_ADVERTISE_PEER_URLS={peer_urls:?}\n\
                 ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
            told(member.id, kind, added.header),
            cluster.join(","),
        )
    })
}

async fn remove(client: &Client, output: Output, words: &[String]) -> Result<(), Failed> {
    let id = member_id(words)?;
    let request = pb::MemberRemoveRequest { id };
    let removed = client.short(client.cluster().member_remove(request)).await?;
    changed(output, &removed, (removed.header, &removed.members, None), || {
        told(id, "removed from", removed.header) + "\n"
    })
}

async fn update(
    client: &Client,
    output: Output,
    words: &[String],
    peer_urls: &str,
) -> Result<(), Failed> {
    let id = member_id(words)?;
    let peer_ur_ls = written_urls(peer_urls)?;
    let request = pb::MemberUpdateRequest { id, peer_ur_ls };
    let updated = client.short(client.cluster().member_update(request)).await?;
    changed(output, &updated, (updated.header, &updated.members, None), || {
        told(id, "updated in", updated.header) + "\n"
    })
}

async fn promote(client: &Client, output: Output, words: &[String]) -> Result<(), Failed> {
    let id = member_id(words)?;
    let request = pb::MemberPromoteRequest { id };
    let promoted = client.short(client.cluster().member_promote(request)).await?;
    changed(output, &promoted, (promoted.header, &promoted.members, None), || {
        told(id, "promoted in", promoted.header) + "\n"
    })
}

/// Hands the leadership to a member, by way of whoever leads now.
pub(super) async fn move_leader(
    client: &Client,
    output: Output,
    words: &[String],
) -> Result<(), Failed> {
    let [to] = words else {
        return Err(Failed::arguments("move-leader command needs 1 argument"));
    };
    let to = hexadecimal(to).map_err(Failed::arguments)?;
    for endpoint in &client.endpoints {
        let only = client.only(endpoint)?;
        let status = only.short(only.maintenance().status(pb::StatusRequest {})).await?;
        let me = status.header.unwrap_or_default().member_id;
        if status.leader != me {
            continue;
        }
        let request = pb::MoveLeaderRequest { target_id: to };
        let moved = only.short(only.maintenance().move_leader(request)).await?;
        let shown = match output.format {
            Format::Simple => {
                format!("Leadership transferred from {me:x} to {to:x}\n").into_bytes()
            }
            Format::Json => {
                let object = json::Object::new().header("header", moved.header.as_ref());
                (object.done() + "\n").into_bytes()
            }
            Format::Protobuf => moved.encode_to_vec(),
            Format::Fields => return Err(Failed::feature(NO_FIELDS)),
            Format::Table => return Err(Failed::feature(NO_TABLE)),
        };
        return Ok(print(&shown)?);
    }
    let all = client.endpoints.join(" ");
    Err(Failed::arguments(format!("no leader endpoint given at [{all}]")))
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    let parsed = u64::from_str_radix(text, 16);
    parsed.map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
}

fn member_id(words: &[String]) -> Result<u64, Failed> {
    let [id] = words else {
        return Err(Failed::arguments("member ID is not provided"));
    };
    hexadecimal(id)
        .map_err(|why| Failed::arguments(format!("bad member ID arg ({why}), expecting ID in Hex")))
}

fn written_urls(text: &str) -> Result<Vec<String>, Failed> {
    if text.is_empty() {
        return Err(Failed::arguments("member peer urls not provided"));
    }
    text.split(',').map(urls::normal).collect::<Result<_, _>>().map_err(Failed::plain)
}

fn told(id: u64, what: &str, header: Option<pb::ResponseHeader>) -> String {
    format!("Member {id:16x} {what} cluster {:16x}", header.unwrap_or_default().cluster_id)
}

/// Shows a change of the membership: etcd has no fields and no table for it.
fn changed(
    output: Output,
    message: &impl Message,
    (header, members, member): (Option<pb::ResponseHeader>, &[pb::Member], Option<&pb::Member>),
    simple: impl FnOnce() -> String,
) -> Result<(), Failed> {
    let shown = match output.format {
        Format::Simple => simple().into_bytes(),
        Format::Json => {
            (json::change_of_members(header, members, member, output.hex) + "\n").into_bytes()
        }
        Format::Protobuf => message.encode_to_vec(),
        Format::Fields => return Err(Failed::feature(NO_FIELDS)),
        Format::Table => return Err(Failed::feature(NO_TABLE)),
    };
    Ok(print(&shown)?)
}

async fn list(client: &Client, output: Output, consistency: &str) -> Result<(), Failed> {
    let linearizable = !is_serializable(consistency)?;
    let request = pb::MemberListRequest { linearizable };
    let list = client.short(client.cluster().member_list(request)).await?;
    let row = |member: &pb::Member| {
        let standing = if member.name.is_empty() { "unstarted" } else { "started" };
        vec![
            format!("{:x}", member.id),
            standing.to_owned(),
            member.name.clone(),
            member.peer_ur_ls.join(","),
            member.client_ur_ls.join(","),
            member.is_learner.to_string(),
        ]
    };
    if output.format == Format::Table {
        let heads = ["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"];
        let rows: Vec<_> = list.members.iter().map(row).collect();
        return Ok(print(table(&heads, &rows).as_bytes())?);
    }
    output.forms(
        Some(list.encode_to_vec()),
        || list.members.iter().map(|member| row(member).join(", ") + "\n").collect(),
        || json::members(&list, output.hex),
        |lines| {
            lines.header(list.header.as_ref());
            for member in &list.members {
                lines.id("ID", member.id);
                lines.line("Name", json::quoted(&member.name));
                for url in &member.peer_ur_ls {
                    lines.line("PeerURL", json::quoted(url));
                }
                for url in &member.client_ur_ls {
                    lines.line("ClientURL", json::quoted(url));
                }
                lines.line("IsLearner", member.is_learner);
                lines.text.push('\n');
            }
        },
    )?;
    Ok(())
}
