//! Calls by path, with messages as the bytes they are: no generated code stands between a
//! transcript and the wire.

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A connection to one server.
#[derive(Clone)]
pub(crate) struct Client {
    grpc: tonic::client::Grpc<Channel>,
}

/// A stream in both directions. The server's side ends after a status, which is `Ok` as `None`.
pub(crate) struct Stream {
    /// What the client says; `None` once it has no more to say.
    pub(crate) up: Option<mpsc::UnboundedSender<Bytes>>,
    /// What the server says.
    pub(crate) down: mpsc::UnboundedReceiver<Result<Bytes, Status>>,
    /// Carries it; without it the call is canceled.
    _carrier: Carrier,
}

/// Ends its task when nobody holds it any more.
struct Carrier(tokio::task::JoinHandle<()>);

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) async fn connect(endpoint: &str) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{endpoint}"));
        let channel = endpoint.expect("an address is a URI").connect().await;
        let channel = channel.expect("a healthy server takes connections");
        let grpc = tonic::client::Grpc::new(channel)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        Client { grpc }
    }

    /// Calls a method with one message and one answer.
    pub(crate) async fn unary(&self, path: &str, message: Vec<u8>) -> Result<Bytes, Status> {
        let mut grpc = self.grpc.clone();
        ready(&mut grpc).await?;
        let request = Request::new(Bytes::from(message));
        grpc.unary(request, uri(path), Raw).await.map(tonic::Response::into_inner)
    }

    /// Begins a stream. Its answer may begin only after the first message, so a task waits for it.
    pub(crate) fn open(&self, path: &str) -> Stream {
        let mut grpc = self.grpc.clone();
        let uri = uri(path);
        let (up, requests) = mpsc::unbounded_channel();
        let (answers, down) = mpsc::unbounded_channel();
        let carrier = tokio::spawn(async move {
            let outcome = async {
                ready(&mut grpc).await?;
                let request = Request::new(UnboundedReceiverStream::new(requests));
                let mut stream = grpc.streaming(request, uri, Raw).await?.into_inner();
                while let Some(message) = stream.message().await? {
                    // The player may have lost interest; the stream still runs to its end.
                    let _ = answers.send(Ok(message));
                }
                Ok(())
            };
            if let Err(status) = outcome.await {
                let _ = answers.send(Err(status));
            }
        });
        Stream { up: Some(up), down, _carrier: Carrier(carrier) }
    }
}

async fn ready(grpc: &mut tonic::client::Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|why| Status::unknown(why.to_string()))
}

fn uri(path: &str) -> PathAndQuery {
    PathAndQuery::try_from(path).expect("a method's name is a path")
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}
