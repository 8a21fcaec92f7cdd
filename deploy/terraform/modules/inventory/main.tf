# The nodes as Ansible wants them told: reached by their public addresses, talking to each other by those inside.

terraform {
  required_version = ">= 1.9"
}

variable "nodes" {
  type = map(object({ role = string, address = string }))
}

variable "public_addresses" {
  description = "By name of the node; none while nothing runs."
  type        = map(string)
}

variable "user" {
  type = string
}

variable "private_key_file" {
  description = "Whole path of the private key."
  type        = string
}

variable "known_hosts_file" {
  description = "Whole path of the file that remembers the nodes' own keys."
  type        = string
}

locals {
  running = { for name, node in var.nodes : name => node if contains(keys(var.public_addresses), name) }
  hosts = {
    for role in ["control_plane", "worker"] : role => {
      for name, node in local.running : name => { ansible_host = var.public_addresses[name], node_ip = node.address } if node.role == role
    }
  }
  control_plane = [for name, node in local.running : name if node.role == "control_plane"]

  inventory = {
    all = {
      vars = {
        ansible_user                 = var.user
        ansible_ssh_private_key_file = var.private_key_file
        ansible_ssh_common_args      = "-o UserKnownHostsFile='${var.known_hosts_file}' -o StrictHostKeyChecking=accept-new"
        # Where kubectl reaches the API server: a name in its certificate.
        api_public_address = try(var.public_addresses[local.control_plane[0]], "")
        # Where nodes reach the API server and the exports.
        control_plane_address = try(var.nodes[local.control_plane[0]].address, "")
      }
      children = {
        control_plane = { hosts = local.hosts.control_plane }
        workers       = { hosts = local.hosts.worker }
      }
    }
  }
}

output "inventory" {
  description = "As YAML."
  value       = yamlencode(local.inventory)
}

output "addresses" {
  description = "Name, public address and role of each node, a line each."
  value       = join("\n", [for name, node in local.running : "${name} ${var.public_addresses[name]} ${node.role}"])
}

output "api_address" {
  value = local.inventory.all.vars.api_public_address
}
