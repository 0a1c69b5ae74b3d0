"""What is to be done: one file a task, each written once for every robot and every backend."""
