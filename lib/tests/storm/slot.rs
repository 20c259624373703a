//! Places of what runs: a program or the broker, gone for a while or standing still.

use crossbeam_channel::Receiver;
use rustix::process::Signal;

use crate::support::broker::Broker;
use crate::support::program::Program;

/// A program that may be gone for a while, or stand still.
#[derive(Debug, Default)]
pub struct Slot {
    pub program: Option<Program>,
    is_frozen: bool,
}

/// The same of the broker, which takes seconds to start.
#[derive(Debug)]
pub enum BrokerSlot {
    Up { broker: Broker, is_frozen: bool },
    Down(Broker),
    Starting(Receiver<Broker>),
    Nowhere,
}

impl Slot {
    pub fn of(program: Program) -> Self {
        Self { program: Some(program), is_frozen: false }
    }

    /// SIGSTOP; false when it is gone or stands still already.
    pub fn freeze(&mut self) -> bool {
        let Some(program) = self.program.as_ref().filter(|_| !self.is_frozen) else { return false };
        program.signal(Signal::STOP);
        self.is_frozen = true;
        true
    }

    pub fn thaw(&mut self) {
        if let Some(program) = &self.program {
            program.signal(Signal::CONT);
        }
        self.is_frozen = false;
    }
}

/// The broker, once it has started.
pub fn started_broker(started: &Receiver<Broker>) -> Option<Broker> {
    match started.try_recv() {
        Ok(broker) => Some(broker),
        Err(error) if error.is_empty() => None,
        Err(_) => panic!("the broker did not come back"),
    }
}
