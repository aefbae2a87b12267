"""The only room that talks to Kubernetes: watches its API, and writes the status of policies back."""
