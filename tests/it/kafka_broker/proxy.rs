//! A proxy before a broker, which holds requests or answers back as a network may.
//!
//! It reads the frames of Kafka's protocol: four bytes of length, and in a request the API's key, its
//! version, a number that the answer repeats, and the client's id.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The longest wait for anything, on a busy machine.
const LONGEST: Duration = Duration::from_secs(120);

/// The calls of the protocol that tests look at, by their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call(i16);

pub(crate) const PRODUCE: Call = Call(0);
pub(crate) const OFFSET_FETCH: Call = Call(9);
pub(crate) const SYNC_GROUP: Call = Call(14);
pub(crate) const INIT_PRODUCER_ID: Call = Call(22);
pub(crate) const ADD_OFFSETS_TO_TXN: Call = Call(25);
pub(crate) const END_TXN: Call = Call(26);
pub(crate) const TXN_OFFSET_COMMIT: Call = Call(28);

/// The way in which frames are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The next request, whose client loses its connection. That to the broker stays.
    NextRequestAndCut,
    /// All requests.
    Requests,
    /// All answers.
    Answers,
}

/// A running proxy. Dropped, it takes no more connections, and lets go what it holds.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

/// Frames that are held back. Dropped, they go on.
pub(crate) struct Held {
    rule: usize,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The broker's port.
    upstream: u16,
    is_closed: bool,
    rules: Vec<Rule>,
    requests: HashMap<(String, Call), usize>,
    answers: HashMap<(String, Call), usize>,
}

struct Rule {
    client: String,
    call: Call,
    hold: Hold,
    caught: usize,
    is_released: bool,
    /// The errors in the answers to requests that were held, of those of [`END_TXN`] alone.
    errors: Vec<i16>,
}

/// A request whose answer is awaited.
#[derive(Clone)]
struct Request {
    correlation: i32,
    call: Call,
    client: String,
    /// The rule that held it.
    rule: Option<usize>,
}

impl Proxy {
    /// Takes connections. They wait until the broker is [named](Self::lead_to).
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                if shared.state.lock().is_closed {
                    return;
                }
                thread::spawn(move || connect(&shared, client));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Names the broker's port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.shared.state.lock().upstream = port;
        self.shared.changed.notify_all();
    }

    /// Holds frames of a client's call back from now on.
    pub(crate) fn hold(&self, client: &str, call: Call, hold: Hold) -> Held {
        let mut state = self.shared.state.lock();
        state.rules.push(Rule {
            client: client.to_owned(),
            call,
            hold,
            caught: 0,
            is_released: false,
            errors: Vec::new(),
        });
        Held {
            rule: state.rules.len() - 1,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns how many requests of a call the client's broker was sent.
    pub(crate) fn requests(&self, client: &str, call: Call) -> usize {
        count(&self.shared.state.lock().requests, client, call)
    }

    /// Returns how many answers to a call the client was sent.
    pub(crate) fn answers(&self, client: &str, call: Call) -> usize {
        count(&self.shared.state.lock().answers, client, call)
    }

    /// Blocks until the broker was sent so many requests of a call.
    pub(crate) fn until_requests(&self, client: &str, call: Call, least: usize) {
        let what = format!("{least} requests of {call:?} by {client}");
        let seen = |state: &mut State| count(&state.requests, client, call) >= least;
        self.shared.until(&what, seen);
    }

    /// Blocks until the client was sent so many answers to a call.
    pub(crate) fn until_answers(&self, client: &str, call: Call, least: usize) {
        let what = format!("{least} answers to {call:?} for {client}");
        let seen = |state: &mut State| count(&state.answers, client, call) >= least;
        self.shared.until(&what, seen);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.is_closed = true;
        state
            .rules
            .iter_mut()
            .for_each(|rule| rule.is_released = true);
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Held {
    /// Blocks until a frame is held.
    pub(crate) fn caught(&self) {
        let what = format!("a frame of rule {}", self.rule);
        self.shared
            .until(&what, |state| state.rules[self.rule].caught > 0);
    }

    /// Lets what is held go on, and what comes after it.
    pub(crate) fn release(&self) {
        self.shared.state.lock().rules[self.rule].is_released = true;
        self.shared.changed.notify_all();
    }

    /// Blocks until a request that was held is answered, and returns the answer's error: 0 for none.
    pub(crate) fn error(&self) -> i16 {
        let what = format!("the answer of rule {}", self.rule);
        self.shared
            .until(&what, |state| !state.rules[self.rule].errors.is_empty());
        self.shared.state.lock().rules[self.rule].errors[0]
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

impl Shared {
    /// Blocks until it is so.
    #[expect(clippy::disallowed_methods, reason = "a broker lives in real time")]
    fn until(&self, what: &str, mut is_so: impl FnMut(&mut State) -> bool) {
        let end = Instant::now() + LONGEST;
        let mut state = self.state.lock();
        while !is_so(&mut state) {
            let waited = self.changed.wait_until(&mut state, end);
            assert!(!waited.timed_out() || is_so(&mut state), "never: {what}");
        }
    }

    /// Returns the rule that holds this, if one does.
    fn meets(&self, request: &Request, is_answer: bool) -> Option<(usize, Hold)> {
        let mut state = self.state.lock();
        let rules = state.rules.iter_mut().enumerate();
        let mut rules = rules.filter(|(_, rule)| {
            let is_due = match rule.hold {
                Hold::NextRequestAndCut => !is_answer && rule.caught == 0,
                Hold::Requests => !is_answer,
                Hold::Answers => is_answer,
            };
            let is_of = rule.client == request.client && rule.call == request.call;
            is_due && is_of && !rule.is_released
        });
        let (number, rule) = rules.next()?;
        rule.caught += 1;
        let hold = rule.hold;
        drop(state);
        self.changed.notify_all();
        Some((number, hold))
    }

    /// Blocks until the rule lets go.
    fn released(&self, rule: usize) {
        let mut state = self.state.lock();
        while !state.rules[rule].is_released {
            self.changed.wait(&mut state);
        }
    }

    fn sent(&self, request: &Request) {
        let key = (request.client.clone(), request.call);
        *self.state.lock().requests.entry(key).or_default() += 1;
        self.changed.notify_all();
    }

    fn answered(&self, request: Request, error: i16) {
        let mut state = self.state.lock();
        if let Some(rule) = request.rule {
            state.rules[rule].errors.push(error);
        }
        let key = (request.client, request.call);
        *state.answers.entry(key).or_default() += 1;
        drop(state);
        self.changed.notify_all();
    }
}

fn count(of: &HashMap<(String, Call), usize>, client: &str, call: Call) -> usize {
    of.get(&(client.to_owned(), call)).copied().unwrap_or(0)
}

/// Serves a connection until one side closes it.
fn connect(shared: &Arc<Shared>, client: TcpStream) {
    let mut upstream = 0;
    shared.until("the broker's port", |state| {
        upstream = state.upstream;
        upstream > 0 || state.is_closed
    });
    // The broker may be down.
    let Ok(broker) = TcpStream::connect(("127.0.0.1", upstream)) else {
        return;
    };
    let awaited = Arc::new(Mutex::new(HashMap::new()));
    let for_answers = (
        Arc::clone(shared),
        broker.try_clone().expect("a socket"),
        client.try_clone().expect("a socket"),
        Arc::clone(&awaited),
    );
    thread::spawn(move || {
        let (shared, broker, client, awaited) = for_answers;
        let _ = pass_answers(&shared, broker, client, &awaited);
    });
    let _ = pass_requests(shared, client, broker, &awaited);
}

type Awaited = Mutex<HashMap<i32, Request>>;

fn pass_requests(
    shared: &Shared,
    mut client: TcpStream,
    mut broker: TcpStream,
    awaited: &Awaited,
) -> io::Result<()> {
    let mut was_held = false;
    loop {
        let Ok(frame) = read(&mut client) else {
            // Held requests are to be answered, although their client has gone.
            return match was_held {
                true => Ok(()),
                false => broker.shutdown(Shutdown::Both),
            };
        };
        let mut request = Request::of(&frame);
        if let Some((rule, hold)) = shared.meets(&request, false) {
            (request.rule, was_held) = (Some(rule), true);
            if hold == Hold::NextRequestAndCut {
                client.shutdown(Shutdown::Both)?;
            }
            shared.released(rule);
        }
        awaited.lock().insert(request.correlation, request.clone());
        broker.write_all(&frame)?;
        shared.sent(&request);
    }
}

fn pass_answers(
    shared: &Shared,
    mut broker: TcpStream,
    mut client: TcpStream,
    awaited: &Awaited,
) -> io::Result<()> {
    loop {
        let Ok(frame) = read(&mut broker) else {
            return client.shutdown(Shutdown::Both);
        };
        let request = awaited.lock().remove(&number(&frame));
        let request = request.expect("it was asked");
        if let Some((rule, _)) = shared.meets(&request, true) {
            shared.released(rule);
        }
        // The client may have gone.
        let _ = client.write_all(&frame);
        let error = match request.call {
            END_TXN => i16::from_be_bytes([frame[12], frame[13]]),
            _ => 0,
        };
        shared.answered(request, error);
    }
}

/// Reads a frame, with its length.
fn read(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    frame.resize(4 + usize::try_from(length).expect("small"), 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Returns the number by which an answer is found, of the answer.
fn number(frame: &[u8]) -> i32 {
    i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]])
}

impl Request {
    fn of(frame: &[u8]) -> Self {
        let call = Call(i16::from_be_bytes([frame[4], frame[5]]));
        let correlation = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
        let length = i16::from_be_bytes([frame[12], frame[13]]);
        let client = &frame[14..14 + usize::try_from(length).unwrap_or(0)];
        Self {
            correlation,
            call,
            client: String::from_utf8_lossy(client).into_owned(),
            rule: None,
        }
    }
}
