"""What operators do to the models while the cluster runs."""
