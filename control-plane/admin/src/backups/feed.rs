//! The pieces of a file that arrive, as what a reader on a blocking thread reads.

use std::io::{self, Read};

use tokio::sync::mpsc;

/// The reading end.
pub(super) struct Feed {
    pieces: mpsc::Receiver<Result<Vec<u8>, String>>,
    piece: Vec<u8>,
    taken: usize,
}

impl Feed {
    pub(super) fn new(pieces: mpsc::Receiver<Result<Vec<u8>, String>>) -> Self {
        Self { pieces, piece: Vec::new(), taken: 0 }
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => (self.piece, self.taken) = (piece, 0),
                Some(Err(problem)) => return Err(io::Error::other(problem)),
                None => return Ok(0),
            }
        }
        let read = into.len().min(self.piece.len() - self.taken);
        into[..read].copy_from_slice(&self.piece[self.taken..self.taken + read]);
        self.taken += read;
        Ok(read)
    }
}
