//! Figures on the terminal, in etcd's formats.

use crate::ctl::Failed;
use crate::ctl::output;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Simple,
    Fields,
    Json,
    Protobuf,
    Table,
}

impl Format {
    /// What `--write-out` says.
    pub(super) fn parse(text: &str) -> Result<Format, Failed> {
        Ok(match text {
            "simple" => Format::Simple,
            "fields" => Format::Fields,
            "json" => Format::Json,
            "protobuf" => Format::Protobuf,
            "table" => Format::Table,
            _ => return Err(Failed::feature(output::NO_FORM)),
        })
    }
}

/// One row of figures, in the forms that etcd gives it.
pub(super) struct Report {
    /// The table's heads.
    pub(super) heads: &'static [&'static str],
    /// What stands in the row.
    pub(super) row: Vec<String>,
    /// The form `fields`.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The form `json`.
    pub(super) json: String,
}

impl Report {
    /// Prints it.
    pub(super) fn print(self, format: Format) -> Result<(), Failed> {
        print(&match format {
            Format::Simple => self.row.join(", ") + "\n",
            Format::Json => self.json + "\n",
            Format::Fields => {
                self.fields.iter().map(|(name, value)| format!("\"{name}\" : {value}\n")).collect()
            }
            Format::Table => output::table(self.heads, &[self.row]),
            Format::Protobuf => return Err(Failed::feature(output::NO_PROTOBUF)),
        })
    }
}

/// Writes to standard output. A reader that went away is a reason to end.
pub(super) fn print(text: &str) -> Result<(), Failed> {
    output::print(text.as_bytes()).map_err(Failed::plain)
}
