//! A gRPC client that costs almost nothing, so that the server under load is the bottleneck.
//!
//! It speaks just as much HTTP/2 (RFC 9113) as a closed loop of small calls needs: constant
//! header blocks that touch no dynamic table, response headers counted but not decoded, flow
//! control kept in both directions. A call failed when its stream ends without a message.
//! For anything but load, use a real client.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What we let the server send before we say that we took it.
const RECEIVE_WINDOW: u32 = 1 << 30;
const FRAME_HEADER: usize = 9;
const FRAME_MAX: usize = 16_384;

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}

mod flag {
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const ACK: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const PADDED: u8 = 8;
}

/// One method of a service, as the header block that calls it.
#[derive(Clone, Debug)]
pub struct Method {
    headers: Bytes,
}

impl Method {
    /// For example `/etcdserverpb.KV/Put`.
    #[must_use]
    pub fn new(path: &str) -> Method {
        let mut block = BytesMut::new();
        block.put_slice(&[0x83, 0x86]); // :method POST, :scheme http
        literal(&mut block, Name::Static(4), path);
        literal(&mut block, Name::Static(1), "localhost");
        literal(&mut block, Name::Text("content-type"), "application/grpc");
        literal(&mut block, Name::Text("te"), "trailers");
        Method { headers: block.freeze() }
    }
}

enum Name<'a> {
    Static(u8),
    Text(&'a str),
}

/// A header that is not to be indexed, without Huffman coding (RFC 7541 §6.2.2).
fn literal(block: &mut BytesMut, name: Name<'_>, value: &str) {
    match name {
        Name::Static(index) => block.put_u8(index),
        Name::Text(text) => {
            block.put_u8(0);
            string(block, text);
        }
    }
    string(block, value);
}

fn string(block: &mut BytesMut, text: &str) {
    let len = u8::try_from(text.len()).ok().filter(|len| *len < 127);
    block.put_u8(len.expect("header texts of this tool are short"));
    block.put_slice(text.as_bytes());
}

/// What a connection heard.
#[derive(Debug)]
pub enum Heard {
    /// A whole message of a stream.
    Message(u32, Bytes),
    /// A stream ended.
    End(u32),
}

/// One connection with any number of calls in flight.
#[derive(Debug)]
pub struct Conn {
    socket: TcpStream,
    input: BytesMut,
    output: BytesMut,
    next_stream: u32,
    /// What the server lets us send on the connection.
    send_window: i64,
    /// Frames that wait for the send window.
    held: VecDeque<Bytes>,
    /// Received since we last said so.
    taken: u32,
    /// Messages that came in part, by stream.
    partial: BTreeMap<u32, BytesMut>,
    heard: VecDeque<Heard>,
}

impl Conn {
    /// Connects with prior knowledge of HTTP/2.
    pub async fn connect(addr: &str) -> io::Result<Conn> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        let mut output = BytesMut::with_capacity(64 * 1024);
        output.put_slice(PREFACE);
        frame(&mut output, kind::SETTINGS, 0, 0, 6);
        output.put_u16(4); // SETTINGS_INITIAL_WINDOW_SIZE
        output.put_u32(RECEIVE_WINDOW);
        frame(&mut output, kind::WINDOW_UPDATE, 0, 0, 4);
        output.put_u32(RECEIVE_WINDOW - 65_535);
        Ok(Conn {
            socket,
            input: BytesMut::with_capacity(64 * 1024),
            output,
            next_stream: 1,
            send_window: 65_535,
            held: VecDeque::new(),
            taken: 0,
            partial: BTreeMap::new(),
            heard: VecDeque::new(),
        })
    }

    /// Begins a call with its only message.
    pub fn call(&mut self, method: &Method, message: &[u8]) -> u32 {
        let stream = self.open(method);
        self.data(stream, message, flag::END_STREAM);
        stream
    }

    /// Begins a call that sends many messages.
    pub fn open(&mut self, method: &Method) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let headers = &method.headers;
        frame(&mut self.output, kind::HEADERS, flag::END_HEADERS, stream, headers.len());
        self.output.put_slice(headers);
        stream
    }

    /// Sends one more message of a call.
    pub fn send(&mut self, stream: u32, message: &[u8]) {
        self.data(stream, message, 0);
    }

    fn data(&mut self, stream: u32, message: &[u8], flags: u8) {
        let mut body = BytesMut::with_capacity(message.len() + 5);
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).expect("a message of this tool is small"));
        body.put_slice(message);
        let mut body = body.freeze();
        while !body.is_empty() {
            let piece = body.split_to(body.len().min(FRAME_MAX));
            let mut whole = BytesMut::with_capacity(FRAME_HEADER + piece.len());
            let flags = if body.is_empty() { flags } else { 0 };
            frame(&mut whole, kind::DATA, flags, stream, piece.len());
            whole.put_slice(&piece);
            self.held.push_back(whole.freeze());
        }
        self.release();
    }

    /// Moves what the window allows into the output.
    fn release(&mut self) {
        while let Some(next) = self.held.front() {
            let size = i64::try_from(next.len() - FRAME_HEADER).unwrap_or(i64::MAX);
            if size > self.send_window {
                return;
            }
            self.send_window -= size;
            self.output.put_slice(next);
            self.held.pop_front();
        }
    }

    /// Writes out what has gathered.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.socket.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    /// The next thing heard; writes out what has gathered before it waits.
    pub async fn next(&mut self) -> io::Result<Heard> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(heard);
            }
            self.flush().await?;
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up"));
            }
            self.take_frames()?;
        }
    }

    /// Whether more was heard already: to gather several calls into one write.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.heard.is_empty()
    }

    fn take_frames(&mut self) -> io::Result<()> {
        while self.input.len() >= FRAME_HEADER {
            let len = usize::try_from(self.input.as_ref().get_uint(3)).unwrap_or(usize::MAX);
            if self.input.len() < FRAME_HEADER + len {
                break;
            }
            let mut whole = self.input.split_to(FRAME_HEADER + len).freeze();
            let (kind, flags) = (whole[3], whole[4]);
            let stream = u32::from_be_bytes([whole[5] & 0x7f, whole[6], whole[7], whole[8]]);
            whole.advance(FRAME_HEADER);
            self.on_frame(kind, flags, stream, whole)?;
        }
        Ok(())
    }

    fn on_frame(&mut self, kind: u8, flags: u8, stream: u32, mut body: Bytes) -> io::Result<()> {
        match kind {
            kind::DATA => {
                self.taken += u32::try_from(body.len()).unwrap_or(u32::MAX);
                if self.taken > RECEIVE_WINDOW / 2 {
                    frame(&mut self.output, kind::WINDOW_UPDATE, 0, 0, 4);
                    self.output.put_u32(self.taken);
                    self.taken = 0;
                }
                if flags & flag::PADDED != 0 {
                    return Err(io::Error::other("the server pads its frames"));
                }
                self.on_data(stream, body);
                self.on_end(flags, stream);
            }
            kind::HEADERS => self.on_end(flags, stream),
            kind::RST_STREAM => self.on_end(flag::END_STREAM, stream),
            kind::SETTINGS if flags & flag::ACK == 0 => {
                frame(&mut self.output, kind::SETTINGS, flag::ACK, 0, 0);
            }
            kind::PING if flags & flag::ACK == 0 => {
                frame(&mut self.output, kind::PING, flag::ACK, 0, 8);
                self.output.put_slice(&body);
            }
            kind::WINDOW_UPDATE if stream == 0 && body.len() == 4 => {
                self.send_window += i64::from(body.get_u32());
                self.release();
            }
            kind::GOAWAY => return Err(io::Error::other("the server says goodbye")),
            _ => {}
        }
        Ok(())
    }

    fn on_end(&mut self, flags: u8, stream: u32) {
        if flags & flag::END_STREAM != 0 {
            self.partial.remove(&stream);
            self.heard.push_back(Heard::End(stream));
        }
    }

    fn on_data(&mut self, stream: u32, body: Bytes) {
        let mut body = match self.partial.remove(&stream) {
            None => body,
            Some(mut begun) => {
                begun.put_slice(&body);
                begun.freeze()
            }
        };
        while body.len() >= 5 {
            let len = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
            if body.len() < 5 + len {
                break;
            }
            body.advance(5);
            self.heard.push_back(Heard::Message(stream, body.split_to(len)));
        }
        if !body.is_empty() {
            self.partial.insert(stream, BytesMut::from(&body[..]));
        }
    }
}

fn frame(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, len: usize) {
    out.put_uint(len as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
}
