"""What the Open Inference Protocol's REST and gRPC faces have in common."""
