"""The mesh on one machine: proxies and certificates made of what deploy/k8s says of Istio's."""
