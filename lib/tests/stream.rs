//! Client and server over real gRPC.
