//! A log in the making.

use super::frame;
use super::{Record, name};
use bytes::{Bytes, BytesMut};
use keel_core::{HardState, Index, NodeId, RawEntry};

/// Where etcd begins the next file.
const FILE_BYTES: u64 = 64_000_000;

/// Writes records one after the other, and begins files as etcd does.
#[derive(Debug)]
pub struct Writer {
    metadata: Record,
    hard: HardState,
    crc: u32,
    sequence: u64,
    name: String,
    written: u64,
    next: Index,
    out: BytesMut,
}

impl Writer {
    /// A log of this member's, before its first record.
    #[must_use]
    pub fn new(cluster: u64, node: NodeId) -> Writer {
        let mut writer = Writer {
            metadata: Record::Metadata { node: node.0, cluster },
            hard: HardState::default(),
            crc: 0,
            sequence: 0,
            name: String::new(),
            written: 0,
            next: Index(0),
            out: BytesMut::new(),
        };
        writer.begin();
        writer
    }

    /// The head of a file.
    fn begin(&mut self) {
        self.name = name(self.sequence, self.next.0);
        self.written = 0;
        self.put(&Record::Checksum(self.crc));
        self.put(&self.metadata.clone());
        if self.hard != HardState::default() {
            self.put(&Record::State(self.hard));
        }
    }

    /// Goes on to the next file if this one is full. What was written before must be taken.
    pub fn cut(&mut self) {
        assert!(self.out.is_empty(), "a file's bytes are taken before the next one begins");
        if self.written >= FILE_BYTES {
            self.sequence += 1;
            self.begin();
        }
    }

    /// Writes an entry.
    pub fn entry(&mut self, entry: &RawEntry) {
        self.next = entry.index.next();
        self.put(&Record::Entry(entry.clone()));
    }

    /// Writes a record that is no entry.
    pub fn record(&mut self, record: &Record) {
        if let Record::State(hard) = record {
            self.hard = *hard;
        }
        self.put(record);
    }

    fn put(&mut self, record: &Record) {
        let before = self.out.len();
        self.crc = frame::write(record, self.crc, &mut self.out);
        self.written += (self.out.len() - before) as u64;
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// The name of the file that is written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes since the last time, and the name of the file that they belong to the end of.
    pub fn take(&mut self) -> (&str, Bytes) {
        (&self.name, self.out.split().freeze())
    }
}
