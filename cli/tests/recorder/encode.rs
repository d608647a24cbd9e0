//! A request's text to its bytes.

use super::masks::Masks;
use super::schema::{Field, Kind, Schema};

/// Encodes the fields in `text` as the message `name`.
pub(crate) fn encode(
    schema: &Schema,
    masks: &Masks,
    name: &str,
    text: &str,
) -> Result<Vec<u8>, String> {
    let fields = schema.fields(name)?;
    let mut encoder = Encoder { schema, masks, rest: text.trim_start() };
    let bytes = encoder.fields(fields)?;
    if encoder.rest.is_empty() { Ok(bytes) } else { Err(format!("left over: {}", encoder.rest)) }
}

struct Encoder<'a> {
    schema: &'a Schema,
    masks: &'a Masks,
    rest: &'a str,
}

impl<'a> Encoder<'a> {
    /// Fields up to a closing brace or the end.
    fn fields(&mut self, fields: &[Field]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with('}') {
            let name = self.word();
            let times = self.times()?;
            let field = fields.iter().find(|field| field.name == name);
            let field = field.ok_or(format!("no field '{name}' before: {}", self.rest))?;
            let one = self.field(field)?;
            for _ in 0..times {
                out.extend_from_slice(&one);
            }
        }
        Ok(out)
    }

    fn field(&mut self, field: &Field) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let kind = self.schema.kind(field);
        if let Kind::Message(inner) = kind {
            self.mark("{")?;
            let inner = self.fields(inner)?;
            self.mark("}")?;
            delimited(&mut out, field.number, &inner);
            return Ok(out);
        }
        self.mark(":")?;
        if let Kind::Bytes = kind {
            let bytes = self.string()?;
            delimited(&mut out, field.number, &bytes);
            return Ok(out);
        }
        let word = self.word();
        let number = match kind {
            Kind::Bool => i64::from(word == "true"),
            Kind::Enum(values) if values.contains_key(word) => values[word],
            _ => match self.masks.meaning(word) {
                Some(id) => id.cast_signed(),
                None => word.parse().map_err(|_| format!("'{word}' is no number"))?,
            },
        };
        varint(&mut out, field.number << 3);
        varint(&mut out, number.cast_unsigned());
        Ok(out)
    }

    /// A word or a number.
    fn word(&mut self) -> &'a str {
        let is_word = |c: char| c.is_alphanumeric() || "_-".contains(c);
        let len = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest.trim_start();
        word
    }

    /// `*N`, or once.
    fn times(&mut self) -> Result<usize, String> {
        let Some(rest) = self.rest.strip_prefix('*') else { return Ok(1) };
        self.rest = rest;
        let word = self.word();
        word.parse().map_err(|_| format!("'{word}' is no count"))
    }

    fn mark(&mut self, mark: &str) -> Result<(), String> {
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.ok_or(format!("'{mark}' is due before: {}", self.rest))?.trim_start();
        Ok(())
    }

    /// A quoted string with `\n`, `\"`, `\\` and `\xNN`, and how often it comes.
    fn string(&mut self) -> Result<Vec<u8>, String> {
        self.mark("\"")?;
        let mut bytes = Vec::new();
        let mut chars = self.rest.char_indices();
        loop {
            let (at, c) = chars.next().ok_or("a string does not end")?;
            match c {
                '"' => {
                    self.rest = self.rest[at + 1..].trim_start();
                    break;
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => bytes.push(b'\n'),
                    Some('x') => {
                        let hex = self.rest.get(at + 2..at + 4).unwrap_or("");
                        let byte = u8::from_str_radix(hex, 16);
                        bytes.push(byte.map_err(|_| format!("'{hex}' is no byte"))?);
                        chars.nth(1);
                    }
                    Some(c) => bytes.extend(c.to_string().bytes()),
                    None => return Err(String::from("a string does not end")),
                },
                c => bytes.extend(c.to_string().bytes()),
            }
        }
        Ok(bytes.repeat(self.times()?))
    }
}

fn delimited(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
