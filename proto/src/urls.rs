//! etcd's URLs: a scheme, a host and a port, and nothing else (semantics §7.1).

/// The form that etcd keeps: `scheme://host:port`.
///
/// # Errors
///
/// Why a text is none, in one line.
pub fn normal(text: &str) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_what_etcd_takes() {
        assert_eq!(normal(" http://a:1/ ").as_deref(), Ok("http://a:1"));
        for bad in ["a:1", "ftp://a:1", "http://a", "http://a:x", "http://a:1/path"] {
            assert!(normal(bad).is_err(), "{bad}");
        }
    }
}
