//! A stream of configuration over the simulated network: two pipes, each of which keeps the order of its messages.
//!
//! A message that is lost is sent again, as TCP does, so that it comes late, after whatever is mended; or the connection
//! breaks, which both ends hear. Who is killed is heard of at once; who loses power is not: its peer waits until it has had
//! enough, or speaks to the machine once it is up again and does not know of the connection.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    network::{End, NoAnswer, Party},
    world::World,
};

/// Messages that are on their way at once.
const UNDER_WAY: usize = 4;
/// After which a lost message is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// One connection. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Connection {
    world: World,
    broken: CancellationToken,
    data: End,
    control: End,
}

/// What becomes of a message.
enum Sent {
    Arrived,
    Broken,
}

impl Connection {
    pub(crate) fn new(world: World, data: End, control: End) -> Self {
        let this = Self { world, broken: CancellationToken::new(), data, control };
        tokio::spawn(this.clone().watch(this.control.clone()));
        tokio::spawn(this.clone().watch(this.data.clone()));
        this
    }

    /// Both ends hear of the end of a process, if its machine is there to tell them.
    async fn watch(self, end: End) {
        tokio::select! {
            () = end.life.ended() => {}
            () = self.broken.cancelled() => return,
        }
        if end.life.is_told() {
            // The way of the news is that of any message.
            sleep(self.world.dice().time(&self.world.circumstances().latency)).await;
            if !self.is_cut() {
                self.broken.cancel();
            }
        }
    }

    fn is_cut(&self) -> bool {
        let network = self.world.network();
        network.is_cut(self.data.party, self.control.party) || network.is_cut(self.control.party, self.data.party)
    }

    /// Carries what `from` says to `to`, until one of the two is gone; `see` is shown each message as it is sent.
    pub(crate) fn carry<T: Send + 'static>(
        &self,
        from: End,
        to: End,
        mut said: mpsc::Receiver<T>,
        see: impl Fn(&T) + Send + Sync + 'static,
    ) -> mpsc::Receiver<Result<T, Status>> {
        let (heard, hearing) = mpsc::channel(UNDER_WAY);
        let this = self.clone();
        let see = Arc::new(see);
        tokio::spawn(async move {
            loop {
                // Cancel-safe: what is not received stays.
                let message = tokio::select! {
                    biased;
                    () = this.broken.cancelled() => break,
                    () = from.life.ended() => break,
                    message = said.recv() => message,
                };
                let Some(message) = message else { break };
                see(&message);
                let sent = tokio::select! {
                    biased;
                    () = this.broken.cancelled() => Sent::Broken,
                    sent = this.send(&from, &to) => sent,
                };
                if matches!(sent, Sent::Broken) {
                    this.broken.cancel();
                    break;
                }
                // Waits while its reader is busy, as behind a full window.
                let taken = tokio::select! {
                    biased;
                    () = this.broken.cancelled() => break,
                    taken = heard.send(Ok(message)) => taken,
                };
                if taken.is_err() {
                    // Who reads no more has ended the stream.
                    this.broken.cancel();
                    break;
                }
            }
            this.end(&from, &heard).await;
        });
        hearing
    }

    /// Tells the reader of the end, if anyone tells it.
    async fn end<T>(&self, from: &End, heard: &mpsc::Sender<Result<T, Status>>) {
        if from.life.has_ended() {
            // A machine without power says nothing.
            tokio::select! {
                () = self.broken.cancelled() => {}
                () = heard.closed() => return,
            }
        }
        self.broken.cancel();
        // A reader that is busy hears of it by the end of the channel.
        let _ = heard.try_send(Err(Status::unavailable("the connection broke")));
    }

    async fn send(&self, from: &End, to: &End) -> Sent {
        let network = self.world.network();
        while network.is_cut(from.party, to.party) {
            if self.world.dice().chance(30) {
                return Sent::Broken;
            }
            sleep(AGAIN).await;
        }
        // A single loss costs one repetition and no more.
        if self.world.dice().chance(self.world.circumstances().lost_in_1000) {
            sleep(AGAIN).await;
        }
        sleep(self.world.dice().time(&self.world.circumstances().latency)).await;
        if to.life.has_ended() {
            return self.nobody(to).await;
        }
        Sent::Arrived
    }

    /// The other end is dead: a machine that is up says so.
    async fn nobody(&self, to: &End) -> Sent {
        while !to.life.is_told() && !self.is_up(to.party) {
            sleep(AGAIN).await;
        }
        Sent::Broken
    }

    fn is_up(&self, party: Party) -> bool {
        match party {
            Party::Control(node) => self.world.control(node).is_some(),
            Party::Data(_) | Party::Operator => true,
        }
    }
}

/// Why a stream was not opened.
pub(crate) fn status(no_answer: NoAnswer) -> Status {
    match no_answer {
        NoAnswer::Refused => Status::unavailable("nobody listens there"),
        NoAnswer::Broken => Status::unavailable("the connection broke"),
    }
}
