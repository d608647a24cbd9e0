//! `lock`: holds a named lock until a signal, or as long as a command runs.

use super::client::Client;
use super::output::Output;
use super::session::{Place, Session};
use super::{Failed, exec, interrupted};
use clap::Args as ClapArgs;

/// `lock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Lock {
    /// The lock's name, and perhaps a command to run while it is held
    words: Vec<String>,
    /// How long the lock outlives its holder, in seconds
    #[arg(long, default_value_t = 10)]
    ttl: i64,
}

/// How long a lock outlives its holder where what is said makes no sense.
const TTL: i64 = 60;

pub(super) async fn run(client: &Client, output: Output, lock: Lock) -> Result<(), Failed> {
    let Some((name, command)) = lock.words.split_first() else {
        return Err(Failed::arguments(
            "lock takes a lock name argument and an optional command to execute",
        ));
    };
    let ttl = if lock.ttl > 0 { lock.ttl } else { TTL };
    let mut session = Session::open(client, ttl).await?;
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let mut place = Place::take(client, &session, name, "").await?;
    let at_once = place.first;
    tokio::select! {
        turn = place.turn(client) => {
            if let Err(failed) = turn {
                place.leave(client).await?;
                return Err(failed);
            }
        }
        () = &mut interrupted => {
            place.leave(client).await?;
            return Err(Failed::plain("context canceled"));
        }
    }
    let mine = place.read(client).await?;
    if mine.kvs.is_empty() {
        return Err(Failed::plain("mutex: session is expired"));
    }
    if command.is_empty() {
        output.range(&mine, false)?;
        tokio::select! {
            () = session.lost() => return Err(Failed::plain("session expired")),
            () = interrupted => return place.leave(client).await,
        }
    }
    let key = String::from_utf8_lossy(&place.key).into_owned();
    let read = mine.header.unwrap_or_default().revision;
    let revision = if at_once { place.revision } else { read };
    let environment = vec![("ETCD_LOCK_KEY", key), ("ETCD_LOCK_REV", revision.to_string())];
    let ran = exec::run(command, environment).await;
    let left = place.leave(client).await;
    ran.and(left)
}
