# Who may reach what, as a table: everything that is not in it is refused by Google's own last rule.

terraform {
  required_version = ">= 1.9"
}

variable "admin_cidr" {
  description = "From where ssh and the API server are reached: one network, or several with commas between."
  type        = string

  validation {
    condition = alltrue([
      for cidr in split(",", var.admin_cidr) :
      can(cidrnetmask(trimspace(cidr))) && try(cidrhost(trimspace(cidr), 0) == split("/", trimspace(cidr))[0], false)
    ])
    error_message = "admin_cidr is no IPv4 network; valid: your own address with /32, such as 203.0.113.7/32; several with commas between. start.sh finds it when ADMIN_CIDR is not set."
  }

  validation {
    condition     = alltrue([for cidr in split(",", var.admin_cidr) : try(tonumber(split("/", trimspace(cidr))[1]) >= 16, true)])
    error_message = "admin_cidr is wider than a /16: ssh and the API server would be open to too many; valid: your own address with /32, or the network of your company."
  }
}

variable "node_cidr" {
  type = string
}

variable "names" {
  description = "What the module `naming` gives: tags."
  type        = object({ node = string, control_plane = string })
}

variable "cluster_name" {
  type = string
}

locals {
  admins = [for cidr in split(",", var.admin_cidr) : trimspace(cidr)]

  # Calico carries pods in VXLAN between nodes, so that Google's network sees addresses of nodes alone.
  rules = {
    ssh-from-admin = {
      description = "ssh, from the administrator alone"
      sources     = local.admins
      targets     = [var.names.node]
      allow       = [{ protocol = "tcp", ports = ["22"] }]
    }
    api-from-admin = {
      description = "kubectl, from the administrator alone"
      sources     = local.admins
      targets     = [var.names.control_plane]
      allow       = [{ protocol = "tcp", ports = ["6443"] }]
    }
    api-from-nodes = {
      description = "kubelets, kube-proxy and Calico to the API server"
      sources     = [var.node_cidr]
      targets     = [var.names.control_plane]
      allow       = [{ protocol = "tcp", ports = ["6443"] }]
    }
    nfs-from-nodes = {
      description = "NFS 4 to the exports of the control-plane node"
      sources     = [var.node_cidr]
      targets     = [var.names.control_plane]
      allow       = [{ protocol = "tcp", ports = ["2049"] }]
    }
    nodes-to-nodes = {
      description = "VXLAN and Typha of Calico, kubelet, answers to ping"
      sources     = [var.node_cidr]
      targets     = [var.names.node]
      allow = [
        { protocol = "udp", ports = ["4789"] },
        { protocol = "tcp", ports = ["5473", "10250"] },
        { protocol = "icmp", ports = [] },
      ]
    }
  }
}

output "rules" {
  value = { for name, rule in local.rules : "${var.cluster_name}-${name}" => rule }
}
