//! Where to listen, as etcd's URLs say it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where to listen: etcd takes IP addresses and `localhost` only.
pub(super) fn socket(url: &str) -> Result<SocketAddr, String> {
    let host_port = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, port) = host_port.rsplit_once(':').unwrap_or((host_port, "0"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().map_err(|_| format!("expected IP in URL for binding ({url})"))?,
    };
    let port = port.parse().map_err(|_| format!("{url} has no port"))?;
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_can_be_listened_on() {
        assert_eq!(socket("http://localhost:2379"), Ok("127.0.0.1:2379".parse().expect("one")));
        assert_eq!(socket("http://[::1]:2"), Ok("[::1]:2".parse().expect("one")));
        assert!(socket("http://example.com:2").is_err());
    }
}
