//! Generates the code of `proto/monitor.proto` (pure Rust, no protoc).

fn main() {
    println!("cargo:rerun-if-changed=proto");
    protobuf_codegen::Codegen::new()
        .pure()
        .include("proto")
        .input("proto/monitor.proto")
        .cargo_out_dir("proto")
        .run_from_script();
}
