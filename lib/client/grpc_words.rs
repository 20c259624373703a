//! What gRPC says, in words for people.

use grpcio::RpcStatusCode;

use super::ending::Ending;

/// What an error of gRPC means for us.
pub(super) fn explain(error: &grpcio::Error, server: &str, is_welcomed: bool) -> Ending {
    use RpcStatusCode as Code;
    let (grpcio::Error::RpcFailure(status) | grpcio::Error::RpcFinished(Some(status))) = error
    else {
        return Ending::Lost(error.to_string());
    };
    let words = status.message();
    let is_refusal = match status.code() {
        Code::ALREADY_EXISTS => true,
        Code::FAILED_PRECONDITION | Code::INVALID_ARGUMENT => !is_welcomed,
        Code::UNIMPLEMENTED => {
            return Ending::Refused(format!("what answers at {server} is no monitor server"));
        }
        _ => false,
    };
    if is_refusal {
        return Ending::Refused(words.to_owned());
    }
    for (sign, meaning) in SIGNS {
        if words.to_ascii_lowercase().contains(sign) {
            return Ending::Lost((*meaning).to_owned());
        }
    }
    Ending::Lost(if words.is_empty() { status.code().to_string() } else { words.to_owned() })
}

/// What gRPC core says, in lower case, and what people call that.
const SIGNS: &[(&str, &str)] = &[
    ("connection refused", "connection refused; is it running? (make server)"),
    ("dns resolution failed", "its name cannot be resolved"),
    ("no route to host", "no route to it"),
    ("network is unreachable", "no network to it"),
    ("keepalive", "it has stopped answering"),
    ("ping timeout", "it has stopped answering"),
    ("connection reset", "it has gone"),
    ("socket closed", "it has gone"),
    ("broken pipe", "it has gone"),
];

/// Says which server an ending is about.
pub(super) fn in_words(ending: Ending, server: &str, is_welcomed: bool) -> Ending {
    match ending {
        Ending::Lost(words) if is_welcomed => {
            Ending::Lost(format!("lost the server at {server}: {words}"))
        }
        Ending::Lost(words) => {
            Ending::Lost(format!("cannot reach the server at {server}: {words}"))
        }
        Ending::Refused(words) => {
            Ending::Refused(format!("the server at {server} refuses this client: {words}"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grpcio::{Error, RpcStatus};

    #[test]
    fn people_are_told_what_to_do() {
        let status =
            |code, words: &str| Error::RpcFailure(RpcStatus::with_message(code, words.into()));
        let refused = "failed to connect to all addresses; last error: UNKNOWN: \
                       ipv4:127.0.0.1:50051: Failed to connect to remote host: Connection refused";
        let ending =
            explain(&status(RpcStatusCode::UNAVAILABLE, refused), "localhost:50051", false);
        let expected = "cannot reach the server at localhost:50051: connection refused; is it \
                        running? (make server)";
        assert_eq!(in_words(ending, "localhost:50051", false), Ending::Lost(expected.into()));
    }

    #[test]
    fn a_refusal_is_one_only_where_it_can_be() {
        let status = |code| Error::RpcFailure(RpcStatus::with_message(code, "words".into()));
        let refused = Ending::Refused("words".into());
        for code in [RpcStatusCode::FAILED_PRECONDITION, RpcStatusCode::INVALID_ARGUMENT] {
            assert_eq!(explain(&status(code), "s", false), refused);
            assert_eq!(explain(&status(code), "s", true), Ending::Lost("words".into()));
        }
        assert_eq!(explain(&status(RpcStatusCode::ALREADY_EXISTS), "s", true), refused);
    }
}
