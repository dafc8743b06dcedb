//! Request ids: a random UUID and AWS's extended id, from a generator per core.
//!
//! Promise: drawing an id costs two dozen instructions and no allocation; it is rendered only when a response needs it.
//! Absent: secrecy. Ids are unique, not unguessable (the generator is seeded from the system once per core).

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Bytes of rendered ids that share one allocation.
const CHUNK_BYTES: usize = 4_096;
/// Characters of a UUID.
const UUID_CHARS: usize = 36;
/// Characters of an extended id: 11 bytes in base64.
const EXTENDED_CHARS: usize = 16;

/// The id of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId {
    uuid: uuid::Uuid,
    extended: [u8; 11],
}

impl RequestId {
    /// The id as lower-case UUID.
    pub(crate) fn uuid(&self) -> uuid::Uuid {
        self.uuid
    }

    /// AWS's extended request id: 16 characters of base64.
    pub(crate) fn extended(&self) -> String {
        STANDARD.encode(self.extended)
    }
}

/// Draws and renders ids; one per core.
#[derive(Debug)]
pub(crate) struct RequestIds {
    random: RefCell<SmallRng>,
    chunk: RefCell<BytesMut>,
}

impl RequestIds {
    /// A generator that begins at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: RefCell::new(SmallRng::seed_from_u64(seed)), chunk: RefCell::default() }
    }

    /// The next id.
    pub(crate) fn draw(&self) -> RequestId {
        let mut random = self.random.borrow_mut();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        bytes[8..].copy_from_slice(&random.next_u64().to_le_bytes());
        let tail = random.next_u64().to_le_bytes();
        let mut extended = [0; 11];
        extended[..8].copy_from_slice(&tail);
        extended[8..].copy_from_slice(&bytes[..3]);
        RequestId { uuid: uuid::Builder::from_random_bytes(bytes).into_uuid(), extended }
    }

    /// A number in 0..100 with fractions, for canaries.
    pub(crate) fn percent(&self) -> f64 {
        // 53 bits: what a double holds exactly
        (self.random.borrow_mut().next_u64() >> 11) as f64 * (100.0 / (1_u64 << 53) as f64)
    }

    /// The values of `x-amzn-RequestId` and `x-amz-apigw-id`, as slices of a shared chunk.
    pub(crate) fn render(&self, id: &RequestId) -> (HeaderValue, HeaderValue) {
        let mut chunk = self.chunk.borrow_mut();
        if chunk.capacity() < UUID_CHARS + EXTENDED_CHARS {
            *chunk = BytesMut::with_capacity(CHUNK_BYTES);
        }
        let mut text = [0; UUID_CHARS];
        id.uuid.hyphenated().encode_lower(&mut text);
        chunk.extend_from_slice(&text);
        let uuid = chunk.split().freeze();
        let mut text = [0; EXTENDED_CHARS];
        let written = STANDARD.encode_slice(id.extended, &mut text).expect("11 bytes are 16 characters");
        chunk.extend_from_slice(&text[..written]);
        let extended = chunk.split().freeze();
        (header(uuid), header(extended))
    }

    /// The value of `X-Amzn-Trace-Id` of a request that came without one: its time and 96 bits of its id.
    pub(crate) fn render_trace(&self, id: &RequestId, epoch_s: u64) -> HeaderValue {
        let mut text = *b"Root=1-00000000-000000000000000000000000";
        let time = u32::try_from(epoch_s).unwrap_or(u32::MAX).to_be_bytes();
        write_hex(&mut text[7..15], &time);
        write_hex(&mut text[16..], &id.uuid.as_bytes()[4..]);
        let mut chunk = self.chunk.borrow_mut();
        if chunk.capacity() < text.len() {
            *chunk = BytesMut::with_capacity(CHUNK_BYTES);
        }
        chunk.extend_from_slice(&text);
        header(chunk.split().freeze())
    }
}

/// Writes each byte as two digits.
fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn header(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).expect("hexadecimal and base64 are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_ids_have_the_shapes_of_aws() {
        let ids = RequestIds::new(7);
        for _ in 0..200 {
            let id = ids.draw();
            let (uuid, extended) = ids.render(&id);
            let uuid = uuid.to_str().unwrap();
            assert_eq!(uuid, id.uuid().to_string());
            assert_eq!(&uuid[14..15], "4");
            assert_eq!(extended.to_str().unwrap(), id.extended());
            assert_eq!(extended.len(), 16);
        }
    }

    #[test]
    fn a_trace_id_has_the_shape_of_aws() {
        let ids = RequestIds::new(7);
        let id = ids.draw();
        let trace = ids.render_trace(&id, 0x5759_e988);
        let random = id.uuid().simple().to_string();
        assert_eq!(trace.to_str().unwrap(), format!("Root=1-5759e988-{}", &random[8..]));
    }

    #[test]
    fn ids_differ() {
        let ids = RequestIds::new(7);
        assert_ne!(ids.draw().uuid(), ids.draw().uuid());
    }

    #[test]
    fn percents_stay_below_a_hundred() {
        let ids = RequestIds::new(7);
        assert!((0..1_000).all(|_| (0.0..100.0).contains(&ids.percent())));
    }
}
