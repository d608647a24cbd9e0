//! Whether peer URLs mean the same places, also where one list has names and the other addresses
//! (semantics §7.3).

use super::{Host, Time};
use std::io;
use std::time::Duration;

/// How long names are looked up, as in etcd.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Compares two lists of `scheme://host:port`, in whatever order; names are looked up only where
/// the lists differ as they are written.
///
/// # Errors
///
/// How they differ, or which name cannot be looked up; in one line.
pub(super) async fn same<H: Host>(
    host: &H,
    one: &[String],
    other: &[String],
) -> Result<(), String> {
    if one.len() != other.len() {
        return Err(format!("len({one:?}) != len({other:?})"));
    }
    if sorted(one.to_vec()) == sorted(other.to_vec()) {
        return Ok(());
    }
    let (one, other) = (resolved(host, one).await?, resolved(host, other).await?);
    match one.iter().zip(&other).find(|(one, other)| one != other) {
        None => Ok(()),
        Some((one, other)) => Err(format!("resolved urls: {one:?} != {other:?}")),
    }
}

fn sorted(mut urls: Vec<String>) -> Vec<String> {
    urls.sort();
    urls
}

async fn resolved<H: Host>(host: &H, urls: &[String]) -> Result<Vec<String>, String> {
    let mut resolved = Vec::new();
    for url in urls {
        resolved.push(match url.split_once("://") {
            // etcd leaves this one name as it is.
            Some((scheme, place)) if !place.starts_with("localhost:") => {
                let addr = host.time().within(PATIENCE, look_up(host, place)).await;
                let addr = addr.map_err(|_| format!("{place} cannot be looked up"))?;
                format!("{scheme}://{addr}")
            }
            _ => url.clone(),
        });
    }
    Ok(sorted(resolved))
}

/// Looks a name up until it is known: another container may be about to start.
async fn look_up<H: Host>(host: &H, place: &str) -> std::net::SocketAddr {
    loop {
        let found: io::Result<_> = host.look_up(place).await;
        if let Ok(addr) = found {
            return addr;
        }
        host.time().sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::same;
    use crate::body::host::{Still, now};
    use std::time::Duration;

    fn urls(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| String::from(*url)).collect()
    }

    #[test]
    fn names_are_looked_up_where_lists_differ() {
        // It knows no names, only addresses.
        let host = Still(Duration::ZERO);
        let named = urls(&["http://nowhere.invalid:1", "http://b:2"]);
        let turned = urls(&["http://b:2", "http://nowhere.invalid:1"]);
        assert_eq!(now(same(&host, &named, &turned)), Some(Ok(())), "equal as they are written");
        let short = urls(&["http://[::ffff:127.0.0.1]:1"]);
        let long = urls(&["http://[0:0:0:0:0:ffff:7f00:1]:1"]);
        assert_eq!(now(same(&host, &short, &long)), Some(Ok(())), "one address");
        let localhost = urls(&["http://localhost:1"]);
        let loopback = urls(&["http://127.0.0.1:1"]);
        let why = now(same(&host, &localhost, &loopback)).expect("etcd does not look");
        assert!(why.expect_err("they differ").starts_with("resolved urls: "));
        assert!(now(same(&host, &named, &short)).expect("no look").is_err(), "two are not one");
        let unknown = urls(&["http://nowhere.invalid:1"]);
        assert_eq!(now(same(&host, &unknown, &loopback)), None, "it may be known later");
    }
}
