//! Asks a server how it is, for whoever watches over a container that holds nothing else.

use crate::clock::Clock;
use crate::net::{TcpNet, TokioHost};
use crate::run::executor;
use keel_proto::body::{Config, Failure, Traffic, links};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::task::LocalSet;

/// How long the answer may take: less than whoever asks will wait for this process.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long the page is at most.
const PAGE_MAX: usize = 64 << 10;

/// Asks the server that runs with `config` whether it is ready (`/readyz`, surface §4.3).
///
/// # Errors
///
/// It cannot be reached, is silent, or says that it is not ready.
pub fn ask_ready(config: Config) -> Result<(), Failure> {
    let mut pages = config.listeners().filter(|(traffic, _)| *traffic != Traffic::Grpc);
    let (_, listen) = pages.next().ok_or_else(|| Failure::new("it listens nowhere for pages"))?;
    let url = format!("http://{}", reached_at(listen.addr));
    let runtime = executor()?;
    let host = TokioHost { net: TcpNet, clock: Clock::machine() };
    let ask = links::get(&host, &url, "/readyz", PAGE_MAX, PATIENCE);
    let answer = LocalSet::new().block_on(&runtime, ask);
    answer.map(drop).map_err(|error| Failure::new(format!("{url} is not ready: {error}")))
}

/// Where a server that listens on all addresses is reached from beside it.
fn reached_at(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_at_this_machines_own() {
        let table = [
            ("0.0.0.0:2379", "127.0.0.1:2379"),
            ("[::]:2379", "[::1]:2379"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ];
        for (listened, reached) in table {
            let listened = listened.parse().expect("an address");
            assert_eq!(reached_at(listened).to_string(), reached);
        }
    }
}
