//! An answer's bytes to its text, field by field.

use super::masks::Masks;
use super::schema::{Field, Kind, Schema};
use std::fmt::Write as _;

/// A run of one byte this long is shown by its count.
const RUN_MIN: usize = 64;

/// Renders the message `name`, one line for each field of its first level. Fields stand in the
/// order of their numbers, whatever the wire's; a zero that was sent is as good as none.
pub(crate) fn render(
    schema: &Schema,
    masks: &mut Masks,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<String>, String> {
    let fields = schema.fields(name)?;
    let short = name.rsplit('.').next().unwrap_or(name);
    let mut parts = parts(bytes).ok_or(format!("{name} is no message: {bytes:x?}"))?;
    parts.sort_by_key(|(number, _)| *number);
    let mut lines = Vec::new();
    for (number, wire) in parts {
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            lines.push(format!("field {number} is not in the schema: {wire:?}"));
            continue;
        };
        lines.extend(line(schema, masks, short, field, &wire)?);
    }
    Ok(lines)
}

fn line(
    schema: &Schema,
    masks: &mut Masks,
    message: &str,
    field: &Field,
    wire: &Wire<'_>,
) -> Result<Option<String>, String> {
    let name = &field.name;
    let text = match (schema.kind(field), wire) {
        (Kind::Message(_), Wire::Bytes(bytes)) => {
            let inner = render(schema, masks, &field.of, bytes)?;
            let inner = inner.join(" ");
            let space = if inner.is_empty() { "" } else { " " };
            return Ok(Some(format!("{name} {{ {inner}{space}}}")));
        }
        (Kind::Bytes, Wire::Bytes([])) => return Ok(None),
        (Kind::Bytes, Wire::Bytes(bytes)) => {
            masks.text(message, name, bytes).unwrap_or_else(|| quoted(bytes))
        }
        (Kind::Message(_) | Kind::Bytes, wire) => {
            return Err(format!("{message}.{name} is encoded as {wire:?}"));
        }
        (_, Wire::Number(0)) => return Ok(None),
        (Kind::Bool, Wire::Number(number)) => (*number == 1).to_string(),
        (Kind::Signed, Wire::Number(number)) => {
            let masked = masks.number(message, name, *number);
            masked.unwrap_or_else(|| number.cast_signed().to_string())
        }
        (Kind::Unsigned, Wire::Number(number)) => {
            masks.number(message, name, *number).unwrap_or_else(|| number.to_string())
        }
        (Kind::Enum(values), Wire::Number(number)) => {
            let known = values.iter().find(|(_, value)| value.cast_unsigned() == *number);
            known.map_or_else(|| number.to_string(), |(name, _)| name.clone())
        }
        (_, wire) => return Err(format!("{message}.{name} is encoded as {wire:?}")),
    };
    Ok(Some(format!("{name}: {text}")))
}

/// A string as a request would say it.
fn quoted(bytes: &[u8]) -> String {
    if bytes.len() >= RUN_MIN && bytes.iter().all(|byte| *byte == bytes[0]) {
        return format!("{}*{}", quoted(&bytes[..1]), bytes.len());
    }
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => write!(text, "\\x{byte:02x}").expect("a string takes all"),
        }
    }
    text.push('"');
    text
}

#[derive(Debug)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message by number, in the wire's order.
fn parts(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let (inner, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                Wire::Bytes(inner)
            }
            _ => return None,
        };
        parts.push((tag >> 3, wire));
    }
    Some(parts)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
