//! gRPC's health protocol (`grpc.health.v1`), as much of it as a check needs: one small message each way.

/// What is asked, with POST.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// A `HealthCheckRequest` for `service`, framed.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a); // field 1, a string
        let mut left = service.len();
        while left >= 0x80 {
            message.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        message.push(left as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0]; // not compressed
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend(message);
    framed
}

/// What the answer comes to: its body, and `grpc-status`. `Ok` and `Err` both hold it in words.
pub(super) fn judge(body: &[u8], code: Option<&[u8]>) -> Result<String, String> {
    match code {
        Some(b"0") => {}
        Some(b"5") => return Err("gRPC status 5: the service is not known there".to_owned()),
        Some(b"12") => return Err("gRPC status 12: the server has no health service".to_owned()),
        Some(code) => return Err(format!("gRPC status {}", String::from_utf8_lossy(code))),
        None => return Err("no gRPC status".to_owned()),
    }
    match serving(body) {
        Some(1) => Ok("SERVING".to_owned()),
        Some(2) => Err("NOT_SERVING".to_owned()),
        Some(3) => Err("SERVICE_UNKNOWN".to_owned()),
        Some(_) => Err("UNKNOWN".to_owned()),
        None => Err("not an answer of gRPC's health protocol".to_owned()),
    }
}

/// `HealthCheckResponse.status`; 0 where it is left out.
fn serving(body: &[u8]) -> Option<u64> {
    let (head, message) = body.split_at_checked(5)?;
    let (0, length) = (*head.first()?, head.get(1..)?) else {
        return None;
    };
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let mut rest = message.get(..length as usize)?;
    let mut status = 0;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{judge, request};

    #[test]
    fn a_service_is_asked_for_by_name() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
    }

    #[test]
    fn only_serving_is_good() {
        let message = |status| [0, 0, 0, 0, 2, 0x08, status];
        assert_eq!(judge(&message(1), Some(b"0")), Ok("SERVING".to_owned()));
        assert_eq!(judge(&message(2), Some(b"0")), Err("NOT_SERVING".to_owned()));
        for (body, code) in [
            (&message(1)[..], None),
            (&message(1)[..], Some(&b"14"[..])),
            (&message(1)[..], Some(&b"12"[..])),
            (&[0, 0, 0, 0, 0][..], Some(&b"0"[..])),
            (&[][..], Some(&b"0"[..])),
            (&[0, 0, 0, 0, 9, 8, 1][..], Some(&b"0"[..])),
        ] {
            assert!(judge(body, code).is_err(), "{body:?} {code:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = judge(&body, Some(b"0"));
        }
    }
}
