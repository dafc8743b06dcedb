//! Backups that were written, cut, flipped and put together.

use proptest::prelude::*;
use sluice_proto::raft::{BackupHeader, BackupRow, Table};

use super::*;
use crate::record::ROWS_BYTES;

fn header() -> BackupHeader {
    BackupHeader { cluster_id: "c1".into(), generation: "g1".into(), number: 7, level: 1, ..BackupHeader::default() }
}

fn rows(count: u32, bytes: usize) -> Vec<BackupRow> {
    let row = |number: u32| BackupRow {
        table: Table::Plan as i32,
        key: number.to_be_bytes().to_vec().into(),
        row: (0..bytes).map(|byte| (byte as u32 * (number + 7) % 251) as u8).collect::<Vec<_>>().into(),
    };
    (0..count).map(row).collect()
}

fn written(rows: &[BackupRow]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    rows.iter().for_each(|row| writer.row(row.clone()).unwrap());
    writer.finish().unwrap().0
}

fn read(bytes: &[u8]) -> Result<(BackupHeader, Vec<BackupRow>), Damage> {
    let mut reader = Reader::open(bytes)?;
    let mut found = Vec::new();
    while let Some(rows) = reader.rows()? {
        found.extend(rows);
    }
    Ok((reader.header().clone(), found))
}

#[test]
fn what_is_written_is_read_back_in_as_many_records_as_it_needs() {
    for (count, bytes) in [(0, 0), (1, 0), (1, 2 * ROWS_BYTES), (2_000, 300)] {
        let rows = rows(count, bytes);
        let file = written(&rows);
        let (found_header, found) = read(&file).unwrap();
        assert!(found_header == header() && found == rows, "{count} of {bytes}");
        let summary = Reader::open(&file[..]).unwrap().verify().unwrap();
        assert_eq!((summary.end.rows, summary.bytes), (u64::from(count), file.len() as u64));
    }
}

#[test]
fn a_backup_cut_at_any_byte_is_refused_and_says_where() {
    let file = written(&rows(40, 20));
    for length in 0..file.len() {
        match read(&file[..length]).unwrap_err() {
            Damage::NotABackup => assert!(length < 8, "{length}"),
            Damage::Broken { offset, .. } => assert!(offset <= length as u64, "{length}"),
            other => panic!("{length}: {other}"),
        }
    }
    let mut longer = file;
    longer.push(0);
    assert!(read(&longer).unwrap_err().to_string().contains("nothing after the end"));
}

#[test]
fn any_flipped_bit_is_found() {
    let file = written(&rows(5, 20));
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn whole_records_of_another_backup_or_in_another_order_are_refused() {
    let (file, other) = (written(&rows(2_000, 300)), written(&rows(1_000, 300)));
    let records = |file: &[u8]| {
        let mut found = vec![];
        let mut at = 8;
        while at < file.len() {
            let length = u32::from_le_bytes(file[at + 1..at + 5].try_into().unwrap()) as usize + 21;
            found.push(file[at..at + length].to_vec());
            at += length;
        }
        found
    };
    let (mine, theirs) = (records(&file), records(&other));
    assert!(mine.len() > 3);
    let joined = |records: &[&Vec<u8>]| {
        [&file[..8], &records.iter().flat_map(|each| each.iter().copied()).collect::<Vec<_>>()].concat()
    };
    assert!(read(&joined(&mine.iter().collect::<Vec<_>>())).is_ok());
    let last = mine.len() - 1;
    for records in [
        vec![&mine[0], &mine[2], &mine[1], &mine[last]],
        vec![&mine[0], &mine[1], &mine[last]],
        vec![&mine[0], &theirs[1], &mine[2], &mine[last]],
        vec![&mine[1], &mine[0]],
        vec![&mine[0], &mine[0]],
        vec![&mine[0], &theirs[theirs.len() - 1]],
    ] {
        assert!(read(&joined(&records)).is_err());
    }
}

#[test]
fn another_file_and_a_later_format_are_named() {
    assert!(matches!(read(b"openapi: 3.0.1").unwrap_err(), Damage::NotABackup));
    let mut later = written(&[]);
    later[7] = 2;
    assert!(matches!(read(&later).unwrap_err(), Damage::Format { found: 2, .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(garbage in prop::collection::vec(any::<u8>(), 0..400), places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        prop_assert!(read(&garbage).is_err());
        let mut file = written(&rows(10, 50));
        for (place, byte) in places {
            let place = place.index(file.len());
            file[place] = byte;
        }
        let _ = read(&file);
    }
}
