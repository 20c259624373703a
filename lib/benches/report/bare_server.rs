//! gRPC alone: a server that welcomes every stream and then takes messages without looking at
//! them. What it costs, no server of ours can go below.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::{SinkExt, StreamExt};
use grpcio::{
    ChannelBuilder, EnvBuilder, ServerBuilder, ServerCredentials, ServiceBuilder, WriteFlags,
};
use realtime_monitor::wire::message::{Schedule, ToClient, Welcome};
use realtime_monitor::wire::{PROTOCOL, stream};
use serde_json::json;

use super::super::support::fleet::METHOD;

/// No flags.
pub fn run(_arguments: &[String]) -> Result<(), String> {
    let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("bare").build());
    let messages = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&messages);
    let service = ServiceBuilder::new()
        .add_duplex_streaming_handler(&METHOD, move |ctx, mut requests, mut sink| {
            let counted = Arc::clone(&counted);
            ctx.spawn(async move {
                let welcome = stream::encode_to_client(&welcome());
                let _ = sink.send((welcome, WriteFlags::default())).await;
                while let Some(Ok(message)) = requests.next().await {
                    std::hint::black_box(message);
                    counted.fetch_add(1, Relaxed);
                }
                let _ = sink.close().await;
            });
        })
        .build();
    let channel = ChannelBuilder::new(Arc::clone(&environment)).http2_bdp_probe(false);
    let mut server = ServerBuilder::new(environment)
        .channel_args(channel.build_args())
        .register_service(service)
        .build()
        .map_err(|error| error.to_string())?;
    let port = server
        .add_listening_port("127.0.0.1:0", ServerCredentials::insecure())
        .map_err(|error| error.to_string())?;
    server.start();
    super::serve(
        &json!({ "address": format!("127.0.0.1:{port}") }),
        || json!({ "frames": messages.load(Relaxed) }),
    )
}

fn welcome() -> ToClient {
    ToClient::Welcome(Box::new(Welcome {
        protocol: PROTOCOL,
        server: "bare".into(),
        server_time_us: 0,
        schedule: Schedule::default(),
        version: env!("CARGO_PKG_VERSION").into(),
    }))
}
