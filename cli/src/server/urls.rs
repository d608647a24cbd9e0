//! etcd's URLs: a scheme, a host and a port, and nothing else (semantics §7.1).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The form that etcd keeps: `scheme://host:port`.
pub(super) fn normal(text: &str) -> Result<String, String> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("URL scheme must be http, https, unix, or unixs: {text}"));
    };
    if matches!(scheme, "unix" | "unixs") {
        return Err(format!("unix sockets are not served yet: {text}"));
    }
    if !matches!(scheme, "http" | "https") {
        return Err(format!("URL scheme must be http, https, unix, or unixs: {text}"));
    }
    let host_port = rest.strip_suffix('/').unwrap_or(rest);
    if host_port.contains(['/', '?', '#']) {
        return Err(format!("URL must not contain a path: {text}"));
    }
    let port = host_port.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        return Err(format!("URL address does not have the form \"host:port\": {text}"));
    }
    Ok(format!("{scheme}://{host_port}"))
}

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
    fn urls_are_what_etcd_takes() {
        assert_eq!(normal(" http://a:1/ ").as_deref(), Ok("http://a:1"));
        for bad in ["a:1", "ftp://a:1", "http://a", "http://a:x", "http://a:1/path"] {
            assert!(normal(bad).is_err(), "{bad}");
        }
        assert_eq!(socket("http://localhost:2379"), Ok("127.0.0.1:2379".parse().expect("one")));
        assert_eq!(socket("http://[::1]:2"), Ok("[::1]:2".parse().expect("one")));
        assert!(socket("http://example.com:2").is_err());
    }
}
