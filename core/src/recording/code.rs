//! How the core's own values become bytes and come back.
//!
//! Numbers are varints, lists carry their count, variants a tag. A type lists its fields once, in
//! `code!` beside it; a field that is added and not listed does not compile, so a
//! recording cannot miss what decides. There are no versions inside: a recording replays on the
//! code that made it and on no other, so its header names that code and nothing else has to.
//!
//! Entries stand as their etcd bytes alone. Whoever reads them back lends the parser, since the
//! core has none.

use crate::entry::{Entry, EntryKind, Payload, Proposal, RawEntry};
use crate::mvcc::View;
use crate::types::{Index, Term};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Bytes that are longer are shared with the writer instead of copied.
const SHARED_MIN: usize = 1024;

/// Parses an entry's etcd bytes; `None` where they are none.
pub type Parse = fn(RawEntry) -> Option<Entry>;

/// A value that a recording can hold.
pub trait Code: Sized {
    /// Appends it.
    fn encode(&self, out: &mut Writer);
    /// Takes it off the front; `None` where that is not what was written.
    fn decode(from: &mut Reader) -> Option<Self>;
}

/// Bytes in the making, cheap for whoever fills it: what is large is shared and not copied, and a
/// store is a view until somebody asks for its bytes, on a thread that has the time.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// What stands between the bytes, and before which of them.
    shared: Vec<(usize, Shared)>,
    weight: usize,
}

#[derive(Debug)]
enum Shared {
    Bytes(Bytes),
    Store(View),
}

impl Writer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.shared.is_empty()
    }

    /// How many bytes it holds, stores aside.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.weight
    }

    pub(crate) fn u8(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn fixed(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn slice(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_MIN {
            return self.slice(bytes);
        }
        self.u64(bytes.len() as u64);
        self.weight += bytes.len();
        self.shared.push((self.bytes.len(), Shared::Bytes(bytes.clone())));
    }

    pub(crate) fn store(&mut self, view: View) {
        self.shared.push((self.bytes.len(), Shared::Store(view)));
    }

    /// Gives the bytes out, piece by piece, until `each` has enough of them.
    ///
    /// # Errors
    ///
    /// What `each` fails with.
    pub fn pieces<E>(&self, each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut from = 0;
        for (at, shared) in &self.shared {
            each(&self.bytes[from..*at])?;
            from = *at;
            match shared {
                Shared::Bytes(bytes) => each(bytes)?,
                Shared::Store(view) => view.state().pieces(each)?,
            }
        }
        each(&self.bytes[from..])
    }

    /// All of it in one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.len());
        let copied: Result<(), core::convert::Infallible> = self.pieces(&mut |piece| {
            all.extend_from_slice(piece);
            Ok(())
        });
        match copied {
            Ok(()) => Bytes::from(all),
        }
    }
}

/// Takes values off the front of bytes from outside.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
    parse: Parse,
}

impl Reader {
    /// What stands in these bytes.
    #[must_use]
    pub fn new(bytes: Bytes, parse: Parse) -> Reader {
        Reader { rest: bytes, parse }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<Bytes> {
        (count <= self.rest.len()).then(|| self.rest.split_to(count))
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn fixed(&mut self) -> Option<u64> {
        self.take(8)?.as_ref().try_into().ok().map(u64::from_le_bytes)
    }

    /// A number of things to come, each a byte at least: refused when they cannot fit.
    pub(crate) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.u64()?).ok().filter(|count| *count <= self.rest.len())
    }

    pub(crate) fn slice(&mut self) -> Option<Bytes> {
        let len = self.count()?;
        self.take(len)
    }
}

/// Makes a type one that a recording can hold, by naming what is in it. What is `with nothing in`
/// its last fields is recorded only while they are empty, and comes back so.
macro_rules! code {
    (struct $name:ident { $($field:ident),* $(,)? } $(with nothing in $($void:ident),*)?) => {
        impl $crate::recording::Code for $name {
            fn encode(&self, out: &mut $crate::recording::Writer) {
                let $name { $($field,)* $($($void: _),*)? } = self;
                $($crate::recording::Code::encode($field, out);)*
            }

            fn decode(from: &mut $crate::recording::Reader) -> Option<Self> {
                $(let $field = $crate::recording::Code::decode(from)?;)*
                Some($name { $($field,)* $($($void: Default::default()),*)? })
            }
        }
    };
    (newtype $($name:ident),* $(,)?) => {
        $(impl $crate::recording::Code for $name {
            fn encode(&self, out: &mut $crate::recording::Writer) {
                $crate::recording::Code::encode(&self.0, out);
            }

            fn decode(from: &mut $crate::recording::Reader) -> Option<Self> {
                $crate::recording::Code::decode(from).map($name)
            }
        })*
    };
    (enum $name:ident {
        $($tag:literal $variant:ident $({ $($field:ident),* $(,)? })? $(( $($place:ident),* ))?),*
        $(,)?
    }) => {
        impl $crate::recording::Code for $name {
            fn encode(&self, out: &mut $crate::recording::Writer) {
                match self {
                    $($name::$variant $({ $($field),* })? $(( $($place),* ))? => {
                        out.u8($tag);
                        $($($crate::recording::Code::encode($field, out);)*)?
                        $($($crate::recording::Code::encode($place, out);)*)?
                    })*
                }
            }

            fn decode(from: &mut $crate::recording::Reader) -> Option<Self> {
                Some(match from.u8()? {
                    $($tag => {
                        $($(let $field = $crate::recording::Code::decode(from)?;)*)?
                        $($(let $place = $crate::recording::Code::decode(from)?;)*)?
                        $name::$variant $({ $($field),* })? $(( $($place),* ))?
                    })*
                    _ => return None,
                })
            }
        }
    };
}

pub(crate) use code;

impl Code for u8 {
    fn encode(&self, out: &mut Writer) {
        out.u8(*self);
    }

    fn decode(from: &mut Reader) -> Option<u8> {
        from.u8()
    }
}

impl Code for bool {
    fn encode(&self, out: &mut Writer) {
        out.u8(u8::from(*self));
    }

    fn decode(from: &mut Reader) -> Option<bool> {
        match from.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Code for u64 {
    fn encode(&self, out: &mut Writer) {
        out.u64(*self);
    }

    fn decode(from: &mut Reader) -> Option<u64> {
        from.u64()
    }
}

impl Code for u32 {
    fn encode(&self, out: &mut Writer) {
        out.u64(u64::from(*self));
    }

    fn decode(from: &mut Reader) -> Option<u32> {
        u32::try_from(from.u64()?).ok()
    }
}

impl Code for usize {
    fn encode(&self, out: &mut Writer) {
        out.u64(*self as u64);
    }

    fn decode(from: &mut Reader) -> Option<usize> {
        usize::try_from(from.u64()?).ok()
    }
}

impl Code for i64 {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.cast_unsigned());
    }

    fn decode(from: &mut Reader) -> Option<i64> {
        from.u64().map(u64::cast_signed)
    }
}

impl Code for Duration {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.as_secs());
        out.u64(u64::from(self.subsec_nanos()));
    }

    fn decode(from: &mut Reader) -> Option<Duration> {
        let (seconds, nanos) = (from.u64()?, u32::decode(from)?);
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }
}

impl Code for Bytes {
    fn encode(&self, out: &mut Writer) {
        out.share(self);
    }

    fn decode(from: &mut Reader) -> Option<Bytes> {
        from.slice()
    }
}

impl Code for String {
    fn encode(&self, out: &mut Writer) {
        out.slice(self.as_bytes());
    }

    fn decode(from: &mut Reader) -> Option<String> {
        core::str::from_utf8(&from.slice()?).ok().map(String::from)
    }
}

impl<T: Code> Code for Option<T> {
    fn encode(&self, out: &mut Writer) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(from: &mut Reader) -> Option<Option<T>> {
        if bool::decode(from)? { T::decode(from).map(Some) } else { Some(None) }
    }
}

impl<T: Code> Code for Box<T> {
    fn encode(&self, out: &mut Writer) {
        T::encode(self, out);
    }

    fn decode(from: &mut Reader) -> Option<Box<T>> {
        T::decode(from).map(Box::new)
    }
}

impl<T: Code> Code for Arc<T> {
    fn encode(&self, out: &mut Writer) {
        T::encode(self, out);
    }

    fn decode(from: &mut Reader) -> Option<Arc<T>> {
        T::decode(from).map(Arc::new)
    }
}

impl<A: Code, B: Code> Code for (A, B) {
    fn encode(&self, out: &mut Writer) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(from: &mut Reader) -> Option<(A, B)> {
        Some((A::decode(from)?, B::decode(from)?))
    }
}

impl<A: Code, B: Code, C: Code> Code for (A, B, C) {
    fn encode(&self, out: &mut Writer) {
        self.0.encode(out);
        self.1.encode(out);
        self.2.encode(out);
    }

    fn decode(from: &mut Reader) -> Option<(A, B, C)> {
        Some((A::decode(from)?, B::decode(from)?, C::decode(from)?))
    }
}

/// Collections, each as its count and what is in it, in order.
macro_rules! collections {
    ($($name:ident<$($item:ident $(: $bound:ident)?),*> as $each:ty;)*) => {
        $(impl<$($item: Code $(+ $bound)?),*> Code for $name<$($item),*> {
            fn encode(&self, out: &mut Writer) {
                out.u64(self.len() as u64);
                for item in self {
                    item.encode(out);
                }
            }

            fn decode(from: &mut Reader) -> Option<Self> {
                let count = from.count()?;
                (0..count).map(|_| <$each>::decode(from)).collect()
            }
        })*
    };
}

collections! {
    Vec<T> as T;
    VecDeque<T> as T;
    BTreeSet<T: Ord> as T;
}

impl<K: Code + Ord, V: Code> Code for BTreeMap<K, V> {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.len() as u64);
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }

    fn decode(from: &mut Reader) -> Option<Self> {
        let count = from.count()?;
        (0..count).map(|_| <(K, V)>::decode(from)).collect()
    }
}

impl Code for Payload {
    fn encode(&self, out: &mut Writer) {
        out.u8(match self.kind() {
            EntryKind::Normal => 0,
            EntryKind::Change => 1,
            EntryKind::ChangeV2 => 2,
        });
        match self {
            Payload::Empty => Bytes::new().encode(out),
            Payload::Command(Proposal { bytes, .. }) | Payload::Change { bytes, .. } => {
                bytes.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader) -> Option<Payload> {
        let kind = match from.u8()? {
            0 => EntryKind::Normal,
            1 => EntryKind::Change,
            2 => EntryKind::ChangeV2,
            _ => return None,
        };
        let bytes = Bytes::decode(from)?;
        let raw = RawEntry { term: Term(0), index: Index(0), kind, bytes };
        (from.parse)(raw).map(|entry| entry.payload)
    }
}

impl Code for Proposal {
    fn encode(&self, out: &mut Writer) {
        self.bytes.encode(out);
    }

    fn decode(from: &mut Reader) -> Option<Proposal> {
        let bytes = Bytes::decode(from)?;
        let raw = RawEntry { term: Term(0), index: Index(0), kind: EntryKind::Normal, bytes };
        match (from.parse)(raw)?.payload {
            Payload::Command(proposal) => Some(proposal),
            Payload::Empty | Payload::Change { .. } => None,
        }
    }
}
