# The three networks of a cluster, which must not overlap, and which address each node has.

terraform {
  required_version = ">= 1.9"
}

variable "node_cidr" {
  type = string

  validation {
    condition     = can(cidrnetmask(var.node_cidr)) && try(cidrhost(var.node_cidr, 0) == split("/", var.node_cidr)[0], false)
    error_message = "node_cidr is no IPv4 network; valid: its first address and a length, such as 10.10.0.0/24."
  }

  validation {
    # Google keeps four addresses of a subnet for itself; the nodes begin at the tenth.
    condition     = try(tonumber(split("/", var.node_cidr)[1]) <= 26 && tonumber(split("/", var.node_cidr)[1]) >= 8, true)
    error_message = "node_cidr has no room for the nodes; valid: a length from 8 to 26, such as 10.10.0.0/24."
  }
}

variable "pod_cidr" {
  type = string

  validation {
    condition     = can(cidrnetmask(var.pod_cidr)) && try(cidrhost(var.pod_cidr, 0) == split("/", var.pod_cidr)[0], false)
    error_message = "pod_cidr is no IPv4 network; valid: its first address and a length, such as 10.244.0.0/16."
  }

  validation {
    # kubeadm gives each node a /24 of it.
    condition     = try(tonumber(split("/", var.pod_cidr)[1]) <= 20 && tonumber(split("/", var.pod_cidr)[1]) >= 8, true)
    error_message = "pod_cidr has no room for a /24 per node; valid: a length from 8 to 20, such as 10.244.0.0/16."
  }
}

variable "service_cidr" {
  type = string

  validation {
    condition     = can(cidrnetmask(var.service_cidr)) && try(cidrhost(var.service_cidr, 0) == split("/", var.service_cidr)[0], false)
    error_message = "service_cidr is no IPv4 network; valid: its first address and a length, such as 10.96.0.0/12."
  }
}

variable "worker_count" {
  type = number
}

locals {
  networks = {
    node_cidr    = var.node_cidr
    pod_cidr     = var.pod_cidr
    service_cidr = var.service_cidr
  }

  # First and last address of each as numbers, so that overlapping is a comparison.
  octets = { for name, cidr in local.networks : name => [for part in split(".", cidrhost(cidr, 0)) : tonumber(part)] }
  first  = { for name, part in local.octets : name => part[0] * 16777216 + part[1] * 65536 + part[2] * 256 + part[3] }
  last   = { for name, cidr in local.networks : name => local.first[name] + pow(2, 32 - tonumber(split("/", cidr)[1])) - 1 }

  overlaps = [
    for pair in [["node_cidr", "pod_cidr"], ["node_cidr", "service_cidr"], ["pod_cidr", "service_cidr"]] :
    "${pair[0]} ${local.networks[pair[0]]} and ${pair[1]} ${local.networks[pair[1]]}"
    if local.first[pair[0]] <= local.last[pair[1]] && local.first[pair[1]] <= local.last[pair[0]]
  ]
}

output "control_plane_address" {
  value = cidrhost(var.node_cidr, 10)

  precondition {
    condition     = length(local.overlaps) == 0
    error_message = "These networks overlap: ${join("; ", local.overlaps)}. Valid: three apart from each other, such as 10.10.0.0/24, 10.244.0.0/16 and 10.96.0.0/12 (deploy/cluster.yaml)."
  }
}

output "worker_addresses" {
  value = [for index in range(var.worker_count) : cidrhost(var.node_cidr, 11 + index)]

  precondition {
    condition     = 11 + var.worker_count < pow(2, 32 - tonumber(split("/", var.node_cidr)[1])) - 2
    error_message = "node_cidr ${var.node_cidr} has no room for ${var.worker_count} workers; valid: a shorter length, such as /24."
  }
}

output "dns_address" {
  description = "Where kubeadm puts the cluster's DNS."
  value       = cidrhost(var.service_cidr, 10)
}
