//! gRPC's own counters: calls begun, messages, answers by code.
//!
//! Every method stands in them from the start, at zero, as in etcd, but for locks and elections,
//! which appear when they are first used; a call finds its counters once. What no method means is
//! not counted: its name is the client's to choose.

use crate::timing::Timing;
use http_body::{Body as HttpBody, Frame, SizeHint};
use keel_core::Instant;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};

const UNARY: &str = "unary";
const SERVER: &str = "server_stream";
const BIDI: &str = "bidi_stream";

/// Every method of etcd's client port, in the order of its names.
const METHODS: [(&str, &str, &str); 45] = [
    ("etcdserverpb.Auth", "AuthDisable", UNARY),
    ("etcdserverpb.Auth", "AuthEnable", UNARY),
    ("etcdserverpb.Auth", "AuthStatus", UNARY),
    ("etcdserverpb.Auth", "Authenticate", UNARY),
    ("etcdserverpb.Auth", "RoleAdd", UNARY),
    ("etcdserverpb.Auth", "RoleDelete", UNARY),
    ("etcdserverpb.Auth", "RoleGet", UNARY),
    ("etcdserverpb.Auth", "RoleGrantPermission", UNARY),
    ("etcdserverpb.Auth", "RoleList", UNARY),
    ("etcdserverpb.Auth", "RoleRevokePermission", UNARY),
    ("etcdserverpb.Auth", "UserAdd", UNARY),
    ("etcdserverpb.Auth", "UserChangePassword", UNARY),
    ("etcdserverpb.Auth", "UserDelete", UNARY),
    ("etcdserverpb.Auth", "UserGet", UNARY),
    ("etcdserverpb.Auth", "UserGrantRole", UNARY),
    ("etcdserverpb.Auth", "UserList", UNARY),
    ("etcdserverpb.Auth", "UserRevokeRole", UNARY),
    ("etcdserverpb.Cluster", "MemberAdd", UNARY),
    ("etcdserverpb.Cluster", "MemberList", UNARY),
    ("etcdserverpb.Cluster", "MemberPromote", UNARY),
    ("etcdserverpb.Cluster", "MemberRemove", UNARY),
    ("etcdserverpb.Cluster", "MemberUpdate", UNARY),
    ("etcdserverpb.KV", "Compact", UNARY),
    ("etcdserverpb.KV", "DeleteRange", UNARY),
    ("etcdserverpb.KV", "Put", UNARY),
    ("etcdserverpb.KV", "Range", UNARY),
    ("etcdserverpb.KV", "RangeStream", SERVER),
    ("etcdserverpb.KV", "Txn", UNARY),
    ("etcdserverpb.Lease", "LeaseGrant", UNARY),
    ("etcdserverpb.Lease", "LeaseKeepAlive", BIDI),
    ("etcdserverpb.Lease", "LeaseLeases", UNARY),
    ("etcdserverpb.Lease", "LeaseRevoke", UNARY),
    ("etcdserverpb.Lease", "LeaseTimeToLive", UNARY),
    ("etcdserverpb.Maintenance", "Alarm", UNARY),
    ("etcdserverpb.Maintenance", "Defragment", UNARY),
    ("etcdserverpb.Maintenance", "Downgrade", UNARY),
    ("etcdserverpb.Maintenance", "Hash", UNARY),
    ("etcdserverpb.Maintenance", "HashKV", UNARY),
    ("etcdserverpb.Maintenance", "MoveLeader", UNARY),
    ("etcdserverpb.Maintenance", "Snapshot", SERVER),
    ("etcdserverpb.Maintenance", "Status", UNARY),
    ("etcdserverpb.Watch", "Watch", BIDI),
    ("grpc.health.v1.Health", "Check", UNARY),
    ("grpc.health.v1.Health", "List", UNARY),
    ("grpc.health.v1.Health", "Watch", SERVER),
];

/// Methods that nobody has used yet are not shown, as in etcd.
const LATER: [(&str, &str, &str); 7] = [
    ("v3electionpb.Election", "Campaign", UNARY),
    ("v3electionpb.Election", "Leader", UNARY),
    ("v3electionpb.Election", "Observe", SERVER),
    ("v3electionpb.Election", "Proclaim", UNARY),
    ("v3electionpb.Election", "Resign", UNARY),
    ("v3lockpb.Lock", "Lock", UNARY),
    ("v3lockpb.Lock", "Unlock", UNARY),
];

/// grpc-go's names of the codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const METHOD: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];
const HANDLED: [&str; 4] = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

/// The counters of every method.
#[derive(Debug)]
pub(super) struct Calls {
    families: Families,
    methods: Vec<Arc<Method>>,
    later: [OnceLock<Arc<Method>>; LATER.len()],
}

/// The counters of all methods, by their labels.
#[derive(Debug)]
struct Families {
    started: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    handled: IntCounterVec,
    /// How long calls take, where that is kept.
    handling: OnceLock<HistogramVec>,
}

/// The counters of one method.
#[derive(Debug)]
struct Method {
    path: String,
    kind: &'static str,
    started: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    handled: Vec<IntCounter>,
    handling: OnceLock<Histogram>,
}

impl Families {
    fn new(registry: &Registry) -> Families {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels).expect(super::VALID);
            registry.register(Box::new(counters.clone())).expect(super::VALID);
            counters
        };
        Families {
            started: counters("grpc_server_started_total", "Calls that were begun.", &METHOD),
            received: counters(
                "grpc_server_msg_received_total",
                "Messages that clients sent.",
                &METHOD,
            ),
            sent: counters("grpc_server_msg_sent_total", "Messages sent to clients.", &METHOD),
            handled: counters(
                "grpc_server_handled_total",
                "Calls that were answered, by code.",
                &HANDLED,
            ),
            handling: OnceLock::new(),
        }
    }

    fn of(&self, (service, method, kind): (&str, &str, &'static str)) -> Arc<Method> {
        let labels = [kind, service, method];
        let by_code = |code| self.handled.with_label_values(&[kind, service, method, code]);
        let method = Arc::new(Method {
            path: format!("/{service}/{method}"),
            kind,
            started: self.started.with_label_values(&labels),
            received: self.received.with_label_values(&labels),
            sent: self.sent.with_label_values(&labels),
            handled: CODES.into_iter().map(by_code).collect(),
            handling: OnceLock::new(),
        });
        if let Some(handling) = self.handling.get() {
            method.handling.get_or_init(|| handling.with_label_values(&labels));
        }
        method
    }
}

impl Calls {
    pub(super) fn new(registry: &Registry) -> Calls {
        let families = Families::new(registry);
        let methods = METHODS.into_iter().map(|method| families.of(method)).collect();
        Calls { families, methods, later: Default::default() }
    }

    /// Keeps how long calls take, from now on.
    pub(super) fn extensive(&self, registry: &Registry) {
        let options = HistogramOpts::new(
            "grpc_server_handling_seconds",
            "How long calls take until they are answered.",
        );
        let handling = self.families.handling.get_or_init(|| {
            let handling = HistogramVec::new(options, &METHOD).expect(super::VALID);
            registry.register(Box::new(handling.clone())).expect(super::VALID);
            handling
        });
        for (method, (service, name, kind)) in self.methods.iter().zip(METHODS) {
            let labels = [kind, service, name];
            method.handling.get_or_init(|| handling.with_label_values(&labels));
        }
    }

    /// A call begins.
    pub(super) fn begin(&self, service: &str, method: &str, timing: &Timing) -> Call {
        let place = |methods: &[(&str, &str, &str)]| {
            methods.binary_search_by(|(s, m, _)| (*s, *m).cmp(&(service, method))).ok()
        };
        let method = match place(&METHODS) {
            Some(at) => Some(Arc::clone(&self.methods[at])),
            None => place(&LATER)
                .map(|at| Arc::clone(self.later[at].get_or_init(|| self.families.of(LATER[at])))),
        };
        let mut begun = None;
        if let Some(method) = &method {
            method.started.inc();
            begun = method.handling.get().map(|_| (timing.now(), timing.clone()));
        }
        Call { method, begun }
    }
}

/// A call under way.
#[derive(Debug)]
pub struct Call {
    method: Option<Arc<Method>>,
    /// When it began, and what measures it, where that is kept.
    begun: Option<(Instant, Timing)>,
}

impl Call {
    /// Its method's path, where it has one answer.
    #[must_use]
    pub fn unary(&self) -> Option<&str> {
        let method = self.method.as_ref().filter(|method| method.kind == UNARY);
        method.map(|method| method.path.as_str())
    }

    /// It was refused before it began.
    pub fn end(&self, status: &Status) {
        self.count(status.code());
    }

    /// It was answered: a failure stands in the head, or at the end of the stream.
    #[must_use]
    pub fn answered(self, response: http::Response<Body>) -> http::Response<Body> {
        let Some(method) = &self.method else { return response };
        let status = Status::from_header_map(response.headers());
        if method.kind == UNARY || status.is_some() {
            let code = status.map_or(Code::Ok, |status| status.code());
            method.received.inc();
            if code == Code::Ok {
                method.sent.inc();
            }
            self.count(code);
            return response;
        }
        if method.kind == SERVER {
            method.received.inc();
        }
        if response.body().is_end_stream() {
            self.count(Code::Ok);
            return response;
        }
        response.map(|body| Body::new(Counted { body, call: self }))
    }

    fn count(&self, code: Code) {
        if let Some(method) = &self.method {
            method.handled[code as usize].inc();
            if let (Some((begun, timing)), Some(handling)) = (&self.begun, method.handling.get()) {
                handling.observe(timing.since(*begun).as_secs_f64());
            }
        }
    }
}

/// A stream's body, which tells its end.
struct Counted {
    body: Body,
    call: Call,
}

impl HttpBody for Counted {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let code = match &polled {
            Poll::Pending => return polled,
            Poll::Ready(None) => Code::Ok,
            Poll::Ready(Some(Err(status))) => status.code(),
            Poll::Ready(Some(Ok(frame))) => match frame.trailers_ref() {
                Some(trailers) => Status::from_header_map(trailers).map_or(Code::Ok, |s| s.code()),
                None => return polled,
            },
        };
        self.call.count(code);
        self.call.method = None;
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    /// Nobody reads it to its end.
    fn drop(&mut self) {
        self.call.count(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_order() {
        assert!(METHODS.is_sorted_by_key(|(service, method, _)| (*service, *method)));
        assert!(LATER.is_sorted_by_key(|(service, method, _)| (*service, *method)));
    }

    #[test]
    fn codes_stand_at_their_numbers() {
        for (number, name) in CODES.into_iter().enumerate().skip(1) {
            let code = Code::from(i32::try_from(number).expect("there are seventeen"));
            let ours = format!("{code:?}").replace("Cancelled", "Canceled");
            assert_eq!(ours, name);
        }
    }

    #[test]
    fn locks_are_counted_once_they_are_used() {
        let registry = Registry::new();
        let calls = Calls::new(&registry);
        let shown = || {
            let families = registry.gather();
            families.iter().flat_map(|family| family.get_metric()).any(|metric| {
                metric.get_label().iter().any(|label| label.value() == "v3lockpb.Lock")
            })
        };
        assert!(!shown());
        let call = calls.begin("v3lockpb.Lock", "Unlock", &Timing::still());
        assert_eq!(call.method.as_ref().expect("a method").started.get(), 1);
        assert!(shown());
    }

    #[test]
    fn a_stream_is_counted_when_it_ends_and_by_how() {
        let calls = Calls::new(&Registry::new());
        let still = Timing::still();
        let watch = |calls: &Calls| calls.begin("etcdserverpb.Watch", "Watch", &still);
        let handled = |calls: &Calls, code: Code| {
            let call = watch(calls);
            call.method.as_ref().expect("a method").handled[code as usize].get()
        };
        let stream = || http::Response::new(Body::new(String::from("an answer")));
        let response = watch(&calls).answered(stream());
        assert_eq!(handled(&calls, Code::Ok) + handled(&calls, Code::Cancelled), 0);
        drop(response);
        assert_eq!(handled(&calls, Code::Cancelled), 1);
        let mut response = watch(&calls).answered(stream());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _message_and_end in 0..2 {
            assert!(Pin::new(response.body_mut()).poll_frame(&mut cx).is_ready());
        }
        drop(response);
        assert_eq!(handled(&calls, Code::Ok), 1);
        assert_eq!(handled(&calls, Code::Cancelled), 1, "an end counts once");
        drop(watch(&calls).answered(http::Response::new(Body::empty())));
        assert_eq!(handled(&calls, Code::Ok), 2, "a stream of nothing ends well");
        assert!(calls.begin("etcdserverpb.KV", "Nonsense", &still).method.is_none());
    }

    #[test]
    fn how_long_calls_take_is_kept_where_asked() {
        let registry = Registry::new();
        let calls = Calls::new(&registry);
        let still = Timing::still();
        let kept = || {
            let families = registry.gather();
            let mut family = families.iter().filter(|one| one.name().ends_with("handling_seconds"));
            family.next().map(|family| family.get_metric().len())
        };
        assert_eq!(kept(), None);
        calls.extensive(&registry);
        calls.begin("etcdserverpb.KV", "Put", &still).end(&Status::ok(""));
        calls.begin("v3lockpb.Lock", "Unlock", &still).end(&Status::ok(""));
        assert_eq!(kept(), Some(METHODS.len() + 1));
        let put = calls.begin("etcdserverpb.KV", "Put", &still).method.expect("a method");
        assert_eq!(put.handling.get().map(Histogram::get_sample_count), Some(1));
    }
}
