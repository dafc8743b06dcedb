//! The clocks and the randomness of a simulated machine.
//!
//! Code under simulation reads clocks and draws random numbers as it does in production: through `std`, `rand` and tokio's
//! own choices in `select!`. All of them come to two functions of the C library. A program that links this crate has these
//! two from here.
//!
//! Promise: on a thread that has called [`simulate`], clocks say what it is told and randomness follows from the seed;
//! on every other thread both are the system's. Absent: what asks the kernel itself, as `ring` does for keys
//! and nonces; and other sources of chance, which are threads that run beside, sockets, and where things lie in memory.

use std::{cell::Cell, ffi::c_void, time::Duration};

/// What the clocks of a simulated machine say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Since the machine was started.
    pub monotonic: Duration,
    /// Since the epoch.
    pub wall: Duration,
}

/// The machine of one thread.
#[derive(Clone, Copy)]
struct Machine {
    /// Of the generator of random bytes.
    state: u64,
    /// What the clocks said last: they say it again while `read` itself asks for the time.
    clocks: Clocks,
    read: Option<fn() -> Clocks>,
}

thread_local! {
    /// Without a destructor: it may be asked for until the thread has ended.
    static MACHINE: Cell<Option<Machine>> = const { Cell::new(None) };
}

/// From now on this thread's randomness follows from `seed`, and its clocks stand still at `begin`.
pub fn simulate(seed: u64, begin: Clocks) {
    MACHINE.set(Some(Machine { state: seed, clocks: begin, read: None }));
}

/// From now on the clocks of this thread say what `read` does. Without effect on a thread that is not simulated.
pub fn read_clocks(read: fn() -> Clocks) {
    MACHINE.set(MACHINE.get().map(|machine| Machine { read: Some(read), ..machine }));
}

/// What the clocks of this thread say; `None` where they are the system's.
fn clocks() -> Option<Clocks> {
    let machine = MACHINE.try_with(Cell::get).ok()??;
    let Some(read) = machine.read else { return Some(machine.clocks) };
    // While it reads, what it calls may ask for the time.
    MACHINE.set(Some(Machine { read: None, ..machine }));
    let clocks = read();
    // Its randomness may have been drawn from meanwhile.
    let state = MACHINE.get().map_or(machine.state, |machine| machine.state);
    MACHINE.set(Some(Machine { state, clocks, read: Some(read) }));
    Some(clocks)
}

/// Fills `bytes` from this thread's seed; false where randomness is the system's.
fn fill(bytes: &mut [u8]) -> bool {
    let Some(mut machine) = MACHINE.try_with(Cell::get).ok().flatten() else { return false };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next(&mut machine.state).to_le_bytes()[..chunk.len()]);
    }
    MACHINE.set(Some(machine));
    true
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): every state has a successor,
/// so that no seed is a bad one.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stands in for getrandom(2).
///
/// # Safety
/// `buffer` has room for `bytes` bytes, as the function that this one stands in for demands.
#[expect(unsafe_code, reason = "the C library's function of this name has this form")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, bytes: libc::size_t, flags: libc::c_uint) -> libc::ssize_t {
    // Some ask with no room at all whether the function is there: a null buffer must not become a slice.
    if bytes > 0 && MACHINE.try_with(|machine| machine.get().is_some()).unwrap_or(false) {
        // SAFETY: the caller gives `bytes` bytes that it alone has, by the contract of getrandom(2). They may be
        // uninitialised; they are only written to.
        let room = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), bytes) };
        if fill(room) {
            return bytes.try_into().unwrap_or(libc::ssize_t::MAX);
        }
    }
    // SAFETY: the arguments are those of the caller, and what the system call demands is what the function demands.
    let filled = unsafe { libc::syscall(libc::SYS_getrandom, buffer, bytes, flags) };
    filled.try_into().unwrap_or(-1)
}

/// Stands in for clock_gettime(2).
///
/// # Safety
/// `told` points to a `timespec` that may be written, as the function that this one stands in for demands.
#[expect(unsafe_code, reason = "the C library's function of this name has this form")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, told: *mut libc::timespec) -> libc::c_int {
    let Some(clocks) = clocks() else {
        // SAFETY: the arguments are those of the caller, and what the system call demands is what the function demands.
        let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, told) };
        return done.try_into().unwrap_or(-1);
    };
    let is_wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    let says = if is_wall { clocks.wall } else { clocks.monotonic };
    let says = libc::timespec {
        tv_sec: says.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: says.subsec_nanos().into(),
    };
    // SAFETY: the caller gives a place that may be written, by the contract of clock_gettime(2).
    unsafe { told.write(says) };
    0
}

#[cfg(test)]
mod tests {
    use std::{
        hash::{BuildHasher, RandomState},
        thread,
        time::{Instant, SystemTime, UNIX_EPOCH},
    };

    use super::*;

    const BEGIN: Clocks = Clocks { monotonic: Duration::from_secs(5), wall: Duration::from_secs(9) };

    fn drawn(seed: u64) -> u64 {
        let drawing = thread::spawn(move || {
            simulate(seed, BEGIN);
            RandomState::new().hash_one(1)
        });
        drawing.join().unwrap()
    }

    #[test]
    fn the_randomness_of_a_thread_follows_from_its_seed() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn clocks_say_what_they_are_told_and_stand_still_until_then() {
        let reading = thread::spawn(|| {
            simulate(1, BEGIN);
            let begin = Instant::now();
            assert_eq!(begin.elapsed(), Duration::ZERO);
            read_clocks(|| Clocks {
                // Asking for the time while it is read is answered, not asked again.
                monotonic: BEGIN.monotonic + Duration::from_secs(2 + Instant::now().elapsed().as_secs()),
                wall: BEGIN.wall,
            });
            assert_eq!(begin.elapsed(), Duration::from_secs(2));
            assert_eq!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap(), BEGIN.wall);
        });
        reading.join().unwrap();
    }

    #[test]
    fn other_threads_have_the_clocks_and_the_randomness_of_the_system() {
        let real = || (Instant::now(), SystemTime::now(), RandomState::new().hash_one(1));
        let before = real();
        drawn(1);
        let after = real();
        assert!(after.0 > before.0 && after.1 >= before.1);
        assert_ne!(after.2, before.2, "std draws anew for each map of a thread, or counts on");
        assert!(before.1.duration_since(UNIX_EPOCH).unwrap() > Duration::from_secs(1_700_000_000));
    }
}
