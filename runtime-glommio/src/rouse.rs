//! A thread that may sleep for ever before its first deed is woken until it has done it.

use crate::pulse::BEAT;
use keel_proto::body::Failure;
use signal_hook::consts::SIGURG;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The caller is awake when this is dropped, on its own thread.
#[derive(Debug)]
pub(crate) struct Asleep {
    /// Held while a signal is sent: so the thread that it is for still lives.
    asleep: Arc<Mutex<bool>>,
    /// Its end is what the other thread hears first.
    _awake: Sender<()>,
}

impl Drop for Asleep {
    fn drop(&mut self) {
        *self.asleep.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// From now on a signal every beat interrupts what the calling thread waits for in the kernel.
///
/// # Errors
///
/// What the system says about the signal or about one more thread.
pub(crate) fn until_awake() -> Result<Asleep, Failure> {
    let fail = |error: io::Error| Failure::new(format!("cannot watch over a thread: {error}"));
    // The signal is ignored, and interrupts nothing, where it has no handler.
    signal_hook::flag::register(SIGURG, Arc::default()).map_err(fail)?;
    // SAFETY: it only tells who calls.
    let sleeper = unsafe { libc::pthread_self() };
    let asleep = Arc::new(Mutex::new(true));
    let (awake, told) = channel();
    let seen = Arc::clone(&asleep);
    let rouse = move || {
        while let Err(RecvTimeoutError::Timeout) = told.recv_timeout(BEAT) {
            let asleep = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *asleep {
                // SAFETY: the thread lives for as long as it has not said that it is awake, and it
                // cannot say so meanwhile.
                unsafe { libc::pthread_kill(sleeper, SIGURG) };
            }
        }
    };
    thread::Builder::new().name(String::from("keel-rouse")).spawn(rouse).map_err(fail)?;
    Ok(Asleep { asleep, _awake: awake })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_the_kernel_is_interrupted_again_and_again() {
        let asleep = until_awake().expect("there is a signal and a thread");
        let mut none = libc::pollfd { fd: -1, events: 0, revents: 0 };
        for _ in 0..3 {
            // SAFETY: a negative descriptor is passed over: nothing ends this wait.
            let came = unsafe { libc::poll(&raw mut none, 1, -1) };
            let why = io::Error::last_os_error().kind();
            assert_eq!((came, why), (-1, io::ErrorKind::Interrupted));
        }
        drop(asleep);
    }
}
