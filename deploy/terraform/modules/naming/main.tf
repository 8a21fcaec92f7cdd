# How everything is called: by the cluster's name first, so that two clusters can share a project.

terraform {
  required_version = ">= 1.9"
}

variable "cluster_name" {
  type = string

  validation {
    # The longest name made of it is that of the service account, which Google allows 30 characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.cluster_name))
    error_message = "cluster_name is no name for Google's resources; valid: 3 to 24 small letters, digits and hyphens, a letter first, no hyphen last, such as tickloop."
  }
}

variable "worker_count" {
  type = number

  validation {
    condition     = var.worker_count >= 1 && var.worker_count <= 50 && floor(var.worker_count) == var.worker_count
    error_message = "worker_count is no number of workers; valid: a whole number from 1 to 50. The overlay `small` is counted for 2."
  }
}

locals {
  # Padded from the start: a name does not change when there are more of them.
  workers = [for index in range(1, var.worker_count + 1) : format("%s-worker-%02d", var.cluster_name, index)]
}

output "control_plane" {
  value = "${var.cluster_name}-control-plane"
}

output "workers" {
  value = local.workers
}

output "network" {
  value = "${var.cluster_name}-network"
}

output "subnet" {
  value = "${var.cluster_name}-nodes"
}

output "service_account" {
  value = "${var.cluster_name}-nodes"
}

output "data_disk" {
  value = "${var.cluster_name}-data"
}

output "address" {
  value = "${var.cluster_name}-api"
}

output "tags" {
  description = "Network tags, by which firewall rules find nodes."
  value = {
    node          = "${var.cluster_name}-node"
    control_plane = "${var.cluster_name}-control-plane"
  }
}
