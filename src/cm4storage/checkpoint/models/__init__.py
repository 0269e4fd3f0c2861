"""What a checkpoint of a workload's model consists of: files, layers and tensors of each rank."""
