//! The port for peers: on shard 0, beside the driver, from before the first election on.

use crate::net::{Net, TokioHost};
use crate::serve::serve as accept;
use http::Request;
use hyper::body::Incoming;
use keel_proto::Services;
use keel_proto::body::config::{LISTEN_PEER, Limits};
use keel_proto::body::peers::{CONNECTIONS, Peers, uncounted};
use keel_proto::body::{Config, Door, Failure, Journal, Stop};

/// Listens, and serves beside the caller until asked to stop.
pub(crate) async fn serve<N: Net>(
    peers: Peers,
    host: &TokioHost<N>,
    config: &Config,
    services: &Services,
    journal: &Journal,
    stop: &Stop,
) -> Result<(), Failure> {
    let answers = peers.answer(host, config, services);
    for listen in &config.listen_peer {
        let listener = host.net.listen(listen.addr).await;
        let listener = listener.map_err(|error| listen.refused(LISTEN_PEER, &error))?;
        let answers = answers.clone();
        let answer = move |request: Request<Incoming>| {
            let answers = answers.clone();
            async move { answers.answer(request).await }
        };
        let door = Door {
            answer,
            limits: Limits::default(),
            host: host.clone(),
            connections: CONNECTIONS,
            traffic: uncounted()?,
            journal: journal.clone(),
            stop: stop.clone(),
        };
        tokio::task::spawn_local(accept(door, listener));
        let fields = [("address", listen.addr.to_string().into())];
        journal.info("serving peer traffic", &fields);
    }
    Ok(())
}
