//! The port for peers: on shard 0, beside the driver, from before the first election on.

use crate::net::{Listener, Ring};
use crate::serve::serve as accept;
use http::Request;
use hyper::body::Incoming;
use keel_proto::Services;
use keel_proto::body::config::{LISTEN_PEER, Limits};
use keel_proto::body::peers::{CONNECTIONS, Peers, uncounted};
use keel_proto::body::{Config, Door, Failure, Host, Journal, Stop};

/// Listens, and serves beside the caller until asked to stop.
pub(crate) fn serve(
    peers: Peers,
    ring: Ring,
    config: &Config,
    services: &Services,
    journal: &Journal,
    stop: &Stop,
) -> Result<(), Failure> {
    let answers = peers.answer(&ring, config, services);
    for listen in &config.listen_peer {
        let listener = Listener::bind(listen.addr);
        let listener = listener.map_err(|error| listen.refused(LISTEN_PEER, &error))?;
        let answers = answers.clone();
        let answer = move |request: Request<Incoming>| {
            let answers = answers.clone();
            async move { answers.answer(request).await }
        };
        let door = Door {
            answer,
            limits: Limits::default(),
            host: ring,
            connections: CONNECTIONS,
            traffic: uncounted()?,
            journal: journal.clone(),
            stop: stop.clone(),
        };
        ring.spawn(accept(door, listener));
        let fields = [("address", listen.addr.to_string().into())];
        journal.info("serving peer traffic", &fields);
    }
    Ok(())
}
