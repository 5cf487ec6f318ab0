//! The system's numbers, from texts as the kernel writes them and from this very process.

use super::*;

const STAT: &str = "4242 (ban) yan (x) S 1 4242 4242 0 -1 4194304 100 0 0 0 250 125 0 0 20 0 9 0 12345 1000000 500 \
                    18446744073709551615 0 0 0";

#[test]
fn a_command_with_brackets_does_not_shift_fields() {
    assert_eq!(cpu_seconds(STAT), Some(3.75));
    assert_eq!(
        start_seconds(STAT, "cpu 1 2\nbtime 1700000000\n"),
        Some(1_700_000_123.45)
    );
}

#[test]
fn limits_and_memory_are_read_in_their_units() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                  Max open files            1024                 524288               files\n";
    assert_eq!(fds_max(limits), Some(1024.0));
    assert_eq!(
        fds_max("Max open files            unlimited            unlimited"),
        None
    );
    assert_eq!(status_bytes("VmRSS:\t   100 kB\n", "VmRSS:"), Some(102_400.0));
}

#[test]
fn a_socket_line_gives_state_and_inode() {
    let line = "   3: 0100007F:1F90 0100007F:C350 08 00000000:00000000 00:00000000 00000000  1000        0 987654 1 ffff 20 4 30 10 -1";
    assert_eq!(socket_line(line), Some((8, 987_654)));
    assert_eq!(STATES[8 - 1], "close_wait");
    assert_eq!(socket_line("  sl  local_address rem_address   st"), None);
}

#[test]
fn this_process_has_memory_descriptors_and_its_own_sockets() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (served, _) = listener.accept().unwrap();
    let all = read();
    let value = |family, labels: &[&str]| {
        let wanted = Series::new(family, labels);
        all.iter()
            .find(|(series, _)| *series == wanted)
            .map(|(_, value)| *value)
            .unwrap()
    };
    assert!(value(Family::ProcessResident, &[]) > 1e6);
    assert!(value(Family::ProcessVirtual, &[]) >= value(Family::ProcessResident, &[]));
    assert!(value(Family::ProcessThreads, &[]) >= 1.0);
    assert!(value(Family::ProcessFdsOpen, &[]) >= 3.0);
    assert!(value(Family::ProcessFdsMax, &[]) >= value(Family::ProcessFdsOpen, &[]));
    assert!(value(Family::ProcessStart, &[]) > 1.7e9);
    assert!(value(Family::Sockets, &["listen"]) >= 1.0);
    assert!(value(Family::Sockets, &["established"]) >= 2.0);
    drop((client, served));
}
