# What each node is.

terraform {
  required_version = ">= 1.9"
}

variable "control_plane" {
  description = "Name of the control-plane node."
  type        = string
}

variable "control_plane_address" {
  type = string
}

variable "workers" {
  description = "Names of the workers."
  type        = list(string)
}

variable "worker_addresses" {
  type = list(string)
}

variable "tags" {
  type = object({ node = string, control_plane = string })
}

variable "control_plane_machine_type" {
  type = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-(standard|highcpu|highmem)-[0-9]+$", var.control_plane_machine_type))
    error_message = "control_plane_machine_type is none with whole cores; valid: such as e2-highcpu-4 (4 cores, 4 GB) or e2-standard-4 (16 GB). kubeadm wants two cores and 1.7 GB; shared cores starve etcd."
  }
}

variable "worker_machine_type" {
  type = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-(standard|highcpu|highmem)-[0-9]+$", var.worker_machine_type))
    error_message = "worker_machine_type is none with whole cores; valid: such as e2-highcpu-4 (4 cores, 4 GB) or e2-standard-4 (16 GB)."
  }
}

variable "boot_disk_gb" {
  type = number

  validation {
    condition     = var.boot_disk_gb >= 20 && var.boot_disk_gb <= 500
    error_message = "boot_disk_gb is not enough, or more than is sensible; valid: 20 to 500. The system and images of one revision take about 12 GB."
  }
}

locals {
  nodes = merge(
    {
      (var.control_plane) = {
        role         = "control_plane"
        machine_type = var.control_plane_machine_type
        address      = var.control_plane_address
        tags         = [var.tags.node, var.tags.control_plane]
        boot_disk_gb = var.boot_disk_gb
      }
    },
    {
      for index, name in var.workers : name => {
        role         = "worker"
        machine_type = var.worker_machine_type
        address      = var.worker_addresses[index]
        tags         = [var.tags.node]
        boot_disk_gb = var.boot_disk_gb
      }
    },
  )
}

output "nodes" {
  value = local.nodes
}
