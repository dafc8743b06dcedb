//! The log as openraft writes it.

use std::io;

use openraft::{
    OptionalSend,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use prost::Message;

use super::{LogReader, LogStore, flush::Write};
use crate::{
    durable::Durable,
    types::{Entry, LogId, TypeConfig, Vote},
};

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let position = self.shared.position().clone();
        Ok(LogState { last_purged_log_id: position.purged, last_log_id: position.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = vote.encode();
        self.flush.wait(|done| Write::Vote { bytes, done }).await?;
        self.shared.position().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut bytes = Vec::new();
        let mut rows = Vec::new();
        let mut ids = None;
        {
            let mut tail = self.shared.tail();
            for entry in entries {
                let begin = bytes.len();
                let message = entry.to_message();
                bytes.reserve(message.encoded_len());
                message.encode_raw(&mut bytes);
                rows.push(begin..bytes.len());
                let first = ids.map_or(entry.log_id.index, |(first, _)| first);
                ids = Some((first, entry.log_id));
                tail.push(entry, bytes.len() - begin);
            }
        }
        let Some((first, last)) = ids else {
            flushed.io_completed(Ok(()));
            return Ok(());
        };
        self.shared.position().last = Some(last);
        self.shared.growth.add(bytes.len() as u64);
        self.flush.send(Write::Append { first, bytes, rows, flushed }).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        // Waiting is what keeps the tail right: nothing older is on its way to the disk when its end is cut.
        self.flush.wait(|done| Write::Truncate { from, done }).await?;
        self.shared.tail().truncate(from);
        let mut position = self.shared.position();
        if position.last.is_some_and(|last| last.index >= from) {
            position.last = last_log_id.or(position.purged);
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let (index, purged) = (log_id.index, log_id.encode());
        self.flush.wait(|done| Write::Purge { index, purged, done }).await?;
        self.shared.tail().purge(index);
        let mut position = self.shared.position();
        position.purged = position.purged.max(Some(log_id));
        position.last = position.last.max(position.purged);
        Ok(())
    }
}
