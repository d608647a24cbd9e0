//! `lease`.

use super::Failed;
use super::client::Client;
use super::json::{Object, array, quoted, slice};
use super::keys::lease_id;
use super::output::{Format, Output, print};
use super::session;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;

/// `lease`.
#[derive(Debug, Subcommand)]
pub(crate) enum Lease {
    /// Creates leases.
    Grant {
        /// Seconds.
        words: Vec<String>,
    },
    /// Revokes leases.
    Revoke {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Gets lease information.
    Timetolive {
        /// The id in hexadecimal.
        words: Vec<String>,
        /// With its keys.
        #[arg(long)]
        keys: bool,
    },
    /// Lists all active leases.
    List {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Keeps leases alive.
    KeepAlive {
        /// The id in hexadecimal.
        words: Vec<String>,
        /// Only once.
        #[arg(long)]
        once: bool,
    },
}

pub(super) async fn run(client: &Client, output: Output, lease: Lease) -> Result<(), Failed> {
    match lease {
        Lease::Grant { words } => grant(client, output, &words).await,
        Lease::Revoke { words } => revoke(client, output, &words).await,
        Lease::Timetolive { words, keys } => life(client, output, &words, keys).await,
        Lease::List { .. } => list(client, output).await,
        Lease::KeepAlive { words, once } => keep_alive(client, output, &words, once).await,
    }
}

/// What etcd says of the one answer that is no message to it, before it prints where that lies.
const NO_MESSAGE: &str = "marshal unsupported for type *clientv3.LeaseRevokeResponse";

fn id_of(words: &[String], command: &str) -> Result<i64, Failed> {
    let [word] = words else {
        let needs = if command == "revoke" { "1 argument" } else { "lease ID as argument" };
        return Err(Failed::arguments(format!("lease {command} command needs {needs}")));
    };
    lease_id(word)
        .map_err(|why| Failed::arguments(format!("bad lease ID arg ({why}), expecting ID in Hex")))
}

/// All that etcd prints of an answer whose header Go embeds.
fn header_of(header: Option<&pb::ResponseHeader>) -> Option<Vec<u8>> {
    Some(header.map(Message::encode_to_vec).unwrap_or_default())
}

/// The header's fields, where Go embeds it, and what follows.
fn embedded(header: Option<&pb::ResponseHeader>) -> Object {
    match header {
        Some(header) => Object::new().header_fields(header),
        None => Object::new(),
    }
}

async fn grant(client: &Client, output: Output, words: &[String]) -> Result<(), Failed> {
    let [ttl] = words else {
        return Err(Failed::arguments("lease grant command needs TTL argument"));
    };
    let ttl = ttl.parse().map_err(|_| {
        let why = format!("strconv.ParseInt: parsing {ttl:?}: invalid syntax");
        Failed::arguments(format!("bad TTL ({why})"))
    })?;
    let request = pb::LeaseGrantRequest { ttl, id: 0 };
    let granted = client.short(client.lease().lease_grant(request)).await;
    let granted = granted.map_err(|failed| failed.wrapped("failed to grant lease"))?;
    let (id, ttl) = (granted.id, granted.ttl);
    output.forms(
        header_of(granted.header.as_ref()),
        || format!("lease {id:016x} granted with TTL({ttl}s)\n"),
        || {
            embedded(granted.header.as_ref())
                .raw("ID", id.to_string())
                .raw("TTL", ttl.to_string())
                .raw("Error", quoted(&granted.error))
                .done()
        },
        |lines| {
            lines.header(granted.header.as_ref());
            lines.lease("ID", id);
            lines.line("TTL", ttl);
        },
    )?;
    Ok(())
}

async fn revoke(client: &Client, output: Output, words: &[String]) -> Result<(), Failed> {
    let id = id_of(words, "revoke")?;
    let call = client.short(client.lease().lease_revoke(pb::LeaseRevokeRequest { id })).await;
    let revoked = call.map_err(|failed| failed.wrapped("failed to revoke lease"))?;
    if output.format == Format::Protobuf {
        return Err(Failed::feature(NO_MESSAGE));
    }
    output.forms(
        None,
        || format!("lease {id:016x} revoked\n"),
        || Object::new().header("header", revoked.header.as_ref()).done(),
        |lines| lines.header(revoked.header.as_ref()),
    )?;
    Ok(())
}

async fn life(client: &Client, output: Output, words: &[String], keys: bool) -> Result<(), Failed> {
    let id = id_of(words, "timetolive")?;
    let request = pb::LeaseTimeToLiveRequest { id, keys };
    // Without a bound, as in etcd.
    let call = client.lease().lease_time_to_live(request).await;
    let life = call.map_err(|status| Failed::from(status).coded(2))?.into_inner();
    let (ttl, granted) = (life.ttl, life.granted_ttl);
    output.forms(
        header_of(life.header.as_ref()),
        || {
            if granted == 0 && ttl == -1 {
                return format!("lease {id:016x} already expired\n");
            }
            let mut text =
                format!("lease {id:016x} granted with TTL({granted}s), remaining({ttl}s)");
            if keys {
                let names: Vec<_> =
                    life.keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
                text += &format!(", attached keys([{}])", names.join(" "));
            }
            text + "\n"
        },
        || {
            let names: Vec<String> =
                life.keys.iter().map(|key| format!("\"{}\"", STANDARD.encode(key))).collect();
            embedded(life.header.as_ref())
                .raw("id", id.to_string())
                .raw("ttl", ttl.to_string())
                .raw("granted-ttl", granted.to_string())
                .raw("keys", slice(names))
                .done()
        },
        |lines| {
            lines.header(life.header.as_ref());
            lines.lease("ID", id);
            lines.line("TTL", ttl);
            lines.line("GrantedTTL", granted);
            for key in &life.keys {
                lines.line("Key", super::fields::quoted(key));
            }
        },
    )?;
    Ok(())
}

async fn list(client: &Client, output: Output) -> Result<(), Failed> {
    let call = client.lease().lease_leases(pb::LeaseLeasesRequest {}).await;
    let list = call.map_err(|status| Failed::from(status).coded(2))?.into_inner();
    output.forms(
        header_of(list.header.as_ref()),
        || {
            let mut text = format!("found {} leases\n", list.leases.len());
            for lease in &list.leases {
                text += &format!("{:016x}\n", lease.id);
            }
            text
        },
        || {
            let leases =
                list.leases.iter().map(|lease| Object::new().int("id", lease.id).done()).collect();
            embedded(list.header.as_ref()).raw("leases", array(leases)).done()
        },
        |lines| {
            lines.header(list.header.as_ref());
            for lease in &list.leases {
                lines.lease("ID", lease.id);
            }
        },
    )?;
    Ok(())
}

async fn keep_alive(
    client: &Client,
    output: Output,
    words: &[String],
    once: bool,
) -> Result<(), Failed> {
    let id = id_of(words, "keep-alive")?;
    let shown = |answer: &pb::LeaseKeepAliveResponse| kept(output, answer);
    if once {
        let answer = renewed(client, id).await.map_err(|failed| failed.coded(2))?;
        return shown(&answer);
    }
    session::keep_alive(client, id, shown).await?;
    if output.format == Format::Simple {
        print(format!("lease {id:016x} expired or revoked.\n").as_bytes())?;
    }
    Ok(())
}

async fn renewed(client: &Client, id: i64) -> Result<pb::LeaseKeepAliveResponse, Failed> {
    let requests = tokio_stream::once(pb::LeaseKeepAliveRequest { id });
    let mut answers = client.lease().lease_keep_alive(requests).await?.into_inner();
    match answers.message().await? {
        Some(answer) if answer.ttl > 0 => Ok(answer),
        Some(_) => Err(Failed::plain("etcdserver: requested lease not found")),
        None => Err(Failed::plain("the server ended the stream")),
    }
}

fn kept(output: Output, answer: &pb::LeaseKeepAliveResponse) -> Result<(), Failed> {
    let (id, ttl) = (answer.id, answer.ttl);
    output.forms(
        header_of(answer.header.as_ref()),
        || format!("lease {id:016x} keepalived with TTL({ttl})\n"),
        || {
            embedded(answer.header.as_ref())
                .raw("ID", id.to_string())
                .raw("TTL", ttl.to_string())
                .done()
        },
        |lines| {
            lines.header(answer.header.as_ref());
            lines.lease("ID", id);
            lines.line("TTL", ttl);
        },
    )?;
    Ok(())
}
