//! Any answer in any chunks: no panic, the chunks make no difference, and what a real XML parser reads of it is the same
//! before and after it was trimmed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopinator::ec2::trim::{Cut, Trimmer};

#[path = "../trim_oracle.rs"]
mod oracle;

fn trim(body: &[u8], size: usize) -> (Vec<u8>, Result<(), Cut>) {
    let mut trimmer = Trimmer::default();
    let kept = body.chunks(size).flat_map(|chunk| trimmer.trim(chunk)).collect();
    (kept, trimmer.end())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    // The bytes as they are, and what they choose.
    for body in [bytes.to_vec(), oracle::answer(bytes).into_bytes()] {
        let (kept, end) = trim(&body, usize::from(size) + 1);
        assert_eq!((&kept, end), (&trim(&body, usize::MAX).0, trim(&body, usize::MAX).1));
        let Some(whole) = std::str::from_utf8(&body).ok().and_then(oracle::read) else { continue };
        assert_eq!(end, Ok(()));
        assert_eq!(oracle::read(std::str::from_utf8(&kept).expect("cut between tags")), Some(whole));
    }
});
