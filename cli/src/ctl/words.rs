//! A line into words, as a shell would split it: blanks divide, quotes keep together.

/// The words of a line; `None` where a quote is not closed.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                let open = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => open.push(unescaped(chars.next()?)),
                        inside => open.push(inside),
                    }
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// A command and its words, as they were said.
pub(super) fn joined(command: &str, words: &[String]) -> String {
    let words = words.iter().map(String::as_str);
    std::iter::once(command).chain(words).collect::<Vec<_>>().join(" ")
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        let words = split(r#"put key1 "a \"b\" c" 'd  e' """#).expect("closed quotes");
        assert_eq!(words, ["put", "key1", "a \"b\" c", "d  e", ""]);
        assert_eq!(split("\"open"), None);
    }
}
