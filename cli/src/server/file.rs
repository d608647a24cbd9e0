//! etcd's configuration file: YAML or JSON whose keys are the flags' names (surface §5.1).
//!
//! Where one is given it is all that counts: flags and environment are passed over, and so are
//! keys that nobody knows, as in etcd.

use super::duration;
use super::flags::{FLAGS, Flag};
use super::settings::Refused;
use serde_json::Value;

/// What a file sets, flag by flag.
pub(super) fn read(path: &str) -> Result<Vec<(&'static Flag, String)>, Refused> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => String::from("no such file or directory"),
            _ => error.to_string(),
        };
        Refused::value(format!("--config-file: open {path}: {why}"))
    })?;
    parse(&text).map_err(|why| Refused::value(format!("--config-file: {path}: {why}")))
}

fn parse(text: &str) -> Result<Vec<(&'static Flag, String)>, String> {
    let value: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    let map = match &value {
        Value::Object(map) => map,
        Value::Null => return Ok(Vec::new()),
        _ => return Err(String::from("a configuration is a map of keys")),
    };
    for section in ["client-transport-security", "peer-transport-security"] {
        if map.get(section).is_some_and(|section| !section.is_null()) {
            return Err(format!("{section} cannot be followed: TLS is not served yet"));
        }
    }
    let set = FLAGS.iter().filter_map(|flag| Some((flag, map.get(flag.name)?)));
    set.filter(|(_, value)| !value.is_null())
        .map(|(flag, value)| Ok((flag, as_flag(flag, value)?)))
        .collect()
}

/// A value as it would stand on the command line.
fn as_flag(flag: &Flag, value: &Value) -> Result<String, String> {
    let is_span =
        flag.default.ends_with(['s', 'm', 'h']) && duration::parse(flag.default).is_some();
    match value {
        // Spans of time are nanoseconds in a file.
        Value::Number(nanos) if is_span => Ok(format!("{nanos}ns")),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(on) => Ok(on.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(all) => {
            let texts =
                all.iter().map(|one| one.as_str().ok_or(one)).collect::<Result<Vec<_>, _>>();
            let texts = texts.map_err(|one| format!("{}: {one} is no text", flag.name))?;
            Ok(texts.join(","))
        }
        other => Err(format!("{}: {other} is no value of a flag", flag.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Vec<(&'static str, String)> {
        let all = parse(text).expect("a configuration");
        all.into_iter().map(|(flag, value)| (flag.name, value)).collect()
    }

    #[test]
    fn a_file_says_what_flags_would() {
        let text = "name: abc\nsnapshot-count: 77\npre-vote: false\nunknown: {a: 1}\n\
                    grpc-keepalive-interval: 10000000000\nlog-outputs: [stderr, stdout]\n";
        let expected = [
            ("name", "abc"),
            ("snapshot-count", "77"),
            ("grpc-keepalive-interval", "10000000000ns"),
            ("pre-vote", "false"),
            ("log-outputs", "stderr,stdout"),
        ];
        assert_eq!(set(text), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(set("{\"name\": \"json\"}"), [("name", "json".to_owned())]);
        assert_eq!(set(""), []);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in
            ["name: [", "- a", "name: {a: 1}", "client-transport-security: {auto-tls: true}"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        let missing = read("/nowhere/etcd.yaml").expect_err("it is not there");
        assert_eq!(
            (missing.line.as_str(), missing.code),
            ("--config-file: open /nowhere/etcd.yaml: no such file or directory", 1)
        );
    }
}
