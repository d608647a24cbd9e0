//! Watches that outlive their connection: when a stream breaks, another one goes on behind the
//! last event that came.

use super::Failed;
use super::client::Client;
use keel_proto::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming};

/// Answers that may wait to be heard.
const ANSWERS: usize = 16;
/// How long to wait before a broken stream is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// Some watches on one stream. Dropping it ends them.
pub(super) struct Watcher {
    ask: mpsc::UnboundedSender<Ask>,
    answers: mpsc::Receiver<Result<Told, Failed>>,
    watches: usize,
}

/// What came for a watch.
pub(super) struct Told {
    /// Which, in the order of asking; `None` is progress that was asked for, for all of them.
    pub(super) watch: Option<usize>,
    pub(super) answer: pb::WatchResponse,
}

enum Ask {
    Create(usize, pb::WatchCreateRequest),
    Progress,
}

impl Watcher {
    /// Opens the stream beside the caller: etcd's server answers nothing, not even that the
    /// stream is open, before the first request.
    pub(super) fn open(client: &Client) -> Watcher {
        let (ask, asks) = mpsc::unbounded_channel();
        let (tell, answers) = mpsc::channel(ANSWERS);
        let streams = Streams { client: client.clone(), asks, tell, watches: Vec::new() };
        tokio::spawn(streams.run());
        Watcher { ask, answers, watches: 0 }
    }

    /// One watch alone.
    pub(super) fn on(client: &Client, request: pb::WatchCreateRequest) -> Watcher {
        let mut watcher = Watcher::open(client);
        watcher.create(request);
        watcher
    }

    /// Asks for a watch, and says its number.
    pub(super) fn create(&mut self, request: pb::WatchCreateRequest) -> usize {
        let number = self.watches;
        self.watches += 1;
        self.ask(Ask::Create(number, request));
        number
    }

    /// Asks for a sign of progress.
    pub(super) fn progress(&self) {
        self.ask(Ask::Progress);
    }

    fn ask(&self, ask: Ask) {
        // Streams that have ended say why when they are asked for what is next.
        let _ = self.ask.send(ask);
    }

    /// What comes next. A watch that is canceled tells nothing more.
    pub(super) async fn next(&mut self) -> Result<Told, Failed> {
        let told = self.answers.recv().await;
        told.unwrap_or_else(|| Err(Failed::plain("the watch stream is closed")))
    }
}

/// A watch, and where it has to go on.
struct Watching {
    number: usize,
    request: pb::WatchCreateRequest,
    /// Its id on the stream that is open now.
    id: Option<i64>,
    /// Whether it was told that it began.
    begun: bool,
}

/// One stream after the other.
struct Streams {
    client: Client,
    asks: mpsc::UnboundedReceiver<Ask>,
    tell: mpsc::Sender<Result<Told, Failed>>,
    watches: Vec<Watching>,
}

/// Why a stream is left.
enum Left {
    /// It broke.
    Broken,
    /// Nobody listens any more.
    Alone,
}

impl Streams {
    async fn run(mut self) {
        loop {
            match self.stream().await {
                Ok(Left::Broken) => tokio::time::sleep(PAUSE).await,
                Ok(Left::Alone) => return,
                Err(failed) => {
                    // Whoever stopped listening needs no reason.
                    let _ = self.tell.send(Err(failed)).await;
                    return;
                }
            }
        }
    }

    /// The life of one stream, from all watches so far.
    async fn stream(&mut self) -> Result<Left, Failed> {
        let (say, requests) = mpsc::unbounded_channel();
        let mut asked = VecDeque::new();
        for watching in &mut self.watches {
            watching.id = None;
            asked.push_back(watching.number);
            say_create(&say, &watching.request);
        }
        let mut request = Request::new(UnboundedReceiverStream::new(requests));
        // A member without a leader has nothing to tell: another one may have.
        request.metadata_mut().insert("hasleader", "true".parse().expect("it is ASCII"));
        let mut service = self.client.watch();
        let opening = service.watch(request);
        tokio::pin!(opening);
        let mut stream: Option<Streaming<pb::WatchResponse>> = None;
        loop {
            let answer = async {
                match &mut stream {
                    Some(stream) => stream.message().await,
                    None => {
                        stream = Some((&mut opening).await?.into_inner());
                        Ok(Some(pb::WatchResponse { watch_id: OPENED, ..Default::default() }))
                    }
                }
            };
            tokio::select! {
                biased;
                answer = answer => match answer {
                    Ok(Some(answer)) if answer.watch_id == OPENED => {}
                    Ok(Some(answer)) => {
                        if !self.hear(answer, &mut asked).await {
                            return Ok(Left::Alone);
                        }
                    }
                    Ok(None) => return Ok(Left::Broken),
                    Err(status) if goes_on(&status) => return Ok(Left::Broken),
                    Err(status) => return Err(status.into()),
                },
                ask = self.asks.recv() => match ask {
                    Some(Ask::Create(number, request)) => {
                        say_create(&say, &request);
                        asked.push_back(number);
                        let watching = Watching { number, request, id: None, begun: false };
                        self.watches.push(watching);
                    }
                    Some(Ask::Progress) => {
                        let request = pb::WatchProgressRequest {};
                        let union = Some(RequestUnion::ProgressRequest(request));
                        let _ = say.send(pb::WatchRequest { request_union: union });
                    }
                    None => return Ok(Left::Alone),
                },
            }
        }
    }

    /// Passes an answer on, and remembers where its watch has to go on. Says whether anybody
    /// listens.
    async fn hear(&mut self, answer: pb::WatchResponse, asked: &mut VecDeque<usize>) -> bool {
        let number = match answer.created {
            true => asked.pop_front(),
            false => {
                let of = self.watches.iter().find(|one| one.id == Some(answer.watch_id));
                of.map(|watching| watching.number)
            }
        };
        let place = self.watches.iter().position(|one| Some(one.number) == number);
        let mut again = false;
        if let Some(place) = place {
            let watching = &mut self.watches[place];
            if answer.created {
                again = std::mem::replace(&mut watching.begun, true);
                watching.id = Some(answer.watch_id);
            }
            let revision = answer.header.unwrap_or_default().revision;
            let last = answer.events.last().and_then(|event| event.kv.as_ref());
            match last {
                Some(kv) => watching.request.start_revision = kv.mod_revision + 1,
                None if watching.request.start_revision == 0 => {
                    watching.request.start_revision = revision + 1;
                }
                None => {}
            }
            if answer.canceled {
                self.watches.remove(place);
            }
        } else if answer.watch_id >= 0 {
            // Of a watch that has ended.
            return true;
        }
        if again && !answer.canceled {
            return true;
        }
        self.tell.send(Ok(Told { watch: number, answer })).await.is_ok()
    }
}

/// The id of an answer that only says that the stream is open; no server gives it.
const OPENED: i64 = i64::MIN;

fn say_create(say: &mpsc::UnboundedSender<pb::WatchRequest>, request: &pb::WatchCreateRequest) {
    let union = Some(RequestUnion::CreateRequest(request.clone()));
    // A stream that is closed says so when it is read.
    let _ = say.send(pb::WatchRequest { request_union: union });
}

/// Whether another stream may do better: the connection broke, or the member went away. A
/// member's own refusals are final, and so is a cluster without a leader.
fn goes_on(status: &Status) -> bool {
    let transport = std::error::Error::source(status).is_some();
    let passing = matches!(status.code(), Code::Unavailable | Code::Internal | Code::Cancelled);
    (transport || passing) && status.message() != "etcdserver: no leader"
}
